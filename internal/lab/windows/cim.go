package windows

import (
	"maps"
	"sort"
	"strconv"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// query answers a CIM query.
func (g *Guest) query(args guest.QueryArgs) (any, error) {
	if service := g.services["Winmgmt"]; service.State != "" && service.State != "Running" {
		return nil, failed("The service cannot be started. (0x80070422)")
	}
	instances, ok := g.instances(args.Namespace, args.Class)
	if !ok {
		return nil, &guest.CallError{Kind: guest.KindMissing, Message: "Invalid class \"" + args.Namespace + ":" + args.Class + "\""}
	}
	condition, err := parseFilter(args.Filter)
	if err != nil {
		return nil, failed("Invalid query: " + err.Error())
	}
	answer := guest.Objects{Objects: []guest.Object{}}
	for _, instance := range instances {
		if !condition(func(name string) string { return property(instance, name) }) {
			continue
		}
		object := guest.Object{}
		for _, name := range args.Properties {
			if value, there := lookUp(instance, name); there {
				object[name] = value
			}
		}
		answer.Objects = append(answer.Objects, object)
	}
	return answer, nil
}

func lookUp(object guest.Object, name string) (string, bool) {
	for key, value := range object {
		if strings.EqualFold(key, name) {
			return value, true
		}
	}
	return "", false
}

func property(object guest.Object, name string) string {
	value, _ := lookUp(object, name)
	return value
}

// instances returns the instances of a class; ok is false when there is no
// such class. The lock is held.
func (g *Guest) instances(namespace, class string) (found []guest.Object, ok bool) {
	if strings.EqualFold(namespace, `root\cimv2`) || namespace == "" {
		switch strings.ToLower(class) {
		case "win32_service":
			return g.serviceObjects(), true
		case "win32_process":
			return g.processObjects(), true
		case "win32_useraccount":
			return g.accountObjects(), true
		case "win32_operatingsystem":
			described, _ := g.described(class)
			for i, object := range described {
				described[i] = maps.Clone(object)
				described[i]["LastBootUpTime"] = stamp(g.boot.at)
				described[i]["LocalDateTime"] = stamp(g.nowLocked())
				described[i]["CSName"] = g.computer()
			}
			return described, true
		case "win32_computersystem":
			described, _ := g.described(class)
			for i, object := range described {
				described[i] = maps.Clone(object)
				described[i]["Name"] = g.computer()
			}
			return described, true
		}
		return g.described(class)
	}
	return g.described(namespace + ":" + class)
}

// described returns the instances that the description holds.
func (g *Guest) described(class string) (found []guest.Object, ok bool) {
	for name, objects := range g.machine.CIM {
		if strings.EqualFold(name, class) {
			return append([]guest.Object(nil), objects...), true
		}
	}
	return nil, false
}

func (g *Guest) serviceObjects() []guest.Object {
	names := make([]string, 0, len(g.services))
	for name := range g.services {
		names = append(names, name)
	}
	sort.Strings(names)
	objects := make([]guest.Object, 0, len(names))
	for _, name := range names {
		service := g.services[name]
		pid := 0
		if service.State == "Running" && service.Process != "" {
			if processes := g.named(service.Process); len(processes) > 0 {
				pid = processes[0].pid
			}
		}
		objects = append(objects, guest.Object{
			"Name": name, "DisplayName": name, "State": service.State, "StartMode": service.StartMode,
			"ProcessId": strconv.Itoa(pid), "Started": yesNo(service.State == "Running"), "Status": "OK",
		})
	}
	return objects
}

func (g *Guest) processObjects() []guest.Object {
	processes := g.named("*")
	objects := make([]guest.Object, 0, len(processes))
	for _, p := range processes {
		name := p.name
		if p.pid != 4 {
			name += ".exe"
		}
		objects = append(objects, guest.Object{
			"Name": name, "ProcessId": strconv.Itoa(p.pid), "CommandLine": strings.TrimSpace(p.file + " " + p.arguments),
			"ExecutablePath": p.file, "SessionId": "0",
		})
	}
	return objects
}

func (g *Guest) accountObjects() []guest.Object {
	names := make([]string, 0, len(g.accounts))
	for name := range g.accounts {
		names = append(names, name)
	}
	sort.Strings(names)
	objects := make([]guest.Object, 0, len(names))
	for _, name := range names {
		account := g.accounts[name]
		objects = append(objects, guest.Object{
			"Name": name, "SID": account.SID, "Disabled": yesNo(account.Disabled), "LocalAccount": "True",
			"Domain": g.computer(), "Caption": g.computer() + `\` + name,
			"PasswordExpires": "False", "PasswordRequired": "True", "Lockout": "False",
		})
	}
	return objects
}

func yesNo(b bool) string {
	if b {
		return "True"
	}
	return "False"
}
