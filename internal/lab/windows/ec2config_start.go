package windows

import (
	"bytes"
	"encoding/xml"
	"errors"
	"strings"
)

// pluginSettings is EC2Config's Config.xml.
type pluginSettings struct {
	XMLName xml.Name `xml:"Ec2ConfigurationSettings"`
	Plugins []struct {
		Name  string `xml:"Name"`
		State string `xml:"State"`
	} `xml:"Plugins>Plugin"`
	Global struct {
		Settings []struct {
			XMLName xml.Name
			Text    string `xml:",chardata"`
		} `xml:",any"`
	} `xml:"GlobalSettings"`
}

// readPlugins reads Config.xml. A plug-in is Enabled or Disabled; any other word
// is a fault.
func readPlugins(data []byte) (pluginSettings, error) {
	var settings pluginSettings
	if err := xml.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &settings); err != nil {
		return pluginSettings{}, errors.New("reading Config.xml: it cannot be parsed")
	}
	for _, plugin := range settings.Plugins {
		if plugin.State != "Enabled" && plugin.State != "Disabled" {
			return pluginSettings{}, errors.New("reading Config.xml: the state of " + plugin.Name + " is neither Enabled nor Disabled")
		}
	}
	return settings, nil
}

func (p pluginSettings) enabled(name string) bool {
	for _, plugin := range p.Plugins {
		if plugin.Name == name {
			return plugin.State == "Enabled"
		}
	}
	return false
}

func (p pluginSettings) global(name string) string {
	for _, one := range p.Global.Settings {
		if strings.EqualFold(one.XMLName.Local, name) {
			return strings.TrimSpace(one.Text)
		}
	}
	return ""
}

// start is EC2Config's service: the plug-ins that Config.xml enables. Those for
// the first boot are disabled afterwards.
func (ec2Config) start(s *startup) {
	var data []byte
	due := false
	s.do(func(g *Guest) {
		due = g.disk.file(configProgram) != nil && g.services[configService].StartMode == "Auto"
		if n := g.disk.file(configSettings); n != nil {
			data = n.data
		}
	})
	if !due {
		return
	}
	settings, err := readPlugins(data)
	if err != nil {
		s.fail(err.Error())
		s.do(func(g *Guest) { g.configLog("Ec2ConfigService", err.Error()) })
		return
	}
	if settings.global("RemoveCredentialsfromSysprepOnStartup") == "true" {
		s.do(func(g *Guest) {
			if n := g.disk.file(configAnswerFile); n != nil {
				if cleaned := passwordElement.ReplaceAll(n.data, []byte("${1}${3}")); !bytes.Equal(cleaned, n.data) {
					g.disk.place(configAnswerFile, cleaned)
				}
			}
		})
	}
	for _, plugin := range settings.Plugins {
		if !settings.enabled(plugin.Name) {
			continue
		}
		s.did(plugin.Name)
		switch plugin.Name {
		case "Ec2SetPassword":
			s.adminPassword("", "")
			s.plugin(plugin.Name, "Disabled")
		case "Ec2SetComputerName":
			s.do(func(g *Guest) {
				if name, ok := g.addressName(); ok {
					g.rename(name)
				}
			})
		case "Ec2HandleUserData":
			data, ok := s.instanceUserData()
			if ok && len(data.tasks) == 0 {
				s.runUserData(data)
			}
			if !data.persist {
				s.plugin(plugin.Name, "Disabled")
			}
		}
	}
	s.do(func(g *Guest) {
		g.runSSM()
		g.print("Message: Windows is Ready to use")
	})
}

// plugin writes a plug-in's state and logs that it ended.
func (s *startup) plugin(name, state string) {
	s.do(func(g *Guest) {
		g.configLog(name, name+" plugin ended.")
		g.setPlugin(name, state)
	})
}
