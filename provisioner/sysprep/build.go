package sysprep

import (
	"fmt"
	"os"
	"strconv"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/version"
)

// buildData is what Packer tells a provisioner of its build. Builders differ:
// every field may be empty.
type buildData struct {
	ID            string
	Host          string
	Port          int
	User          string
	Password      string
	WinRMPassword string
	ConnType      string
}

func readBuildData(data map[string]any) buildData {
	text := func(key string) string {
		switch v := data[key].(type) {
		case string:
			return v
		case *string:
			if v != nil {
				return *v
			}
		}
		return ""
	}
	port, _ := strconv.Atoi(fmt.Sprint(data["Port"]))
	return buildData{
		ID: text("ID"), Host: text("Host"), Port: port, User: text("User"),
		Password: text("Password"), WinRMPassword: text("WinRMPassword"), ConnType: text("ConnType"),
	}
}

func (b buildData) password() string {
	if b.WinRMPassword != "" {
		return b.WinRMPassword
	}
	return b.Password
}

// instanceID is the instance of a builder that knows one, such as amazon-ebs.
func (b buildData) instanceID() string {
	if len(b.ID) > 2 && b.ID[:2] == "i-" {
		return b.ID
	}
	return ""
}

func runUUID() string { return os.Getenv("PACKER_RUN_UUID") }

func pluginVersion() string { return version.PluginVersion.FormattedVersion() }
