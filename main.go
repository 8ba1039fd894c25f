// The program packer-plugin-ec2-sysprep is a Packer plugin that turns a customized Windows instance on Amazon EC2 into a
// sysprepped AMI. Packer starts it; what it does is in provisioner/sysprep and post-processor/ami.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/plugin"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/post-processor/ami"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/provisioner/sysprep"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/version"
)

func main() {
	// The SDK's secret filter is one per process, and nothing sends an external plugin's log through it but this.
	packersdk.LogSecretFilter.SetOutput(os.Stderr)
	log.SetOutput(&packersdk.LogSecretFilter)

	if done, err := subcommand(os.Args[1:]); done {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := components().Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// subcommand runs what is not Packer's: explain, for people, and the guardian, which the provisioner starts.
func subcommand(arguments []string) (done bool, err error) {
	if len(arguments) == 0 {
		return false, nil
	}
	switch arguments[0] {
	case "explain":
		return true, diagnosis.Command(arguments[1:], os.Stdin, os.Stdout)
	case sysprep.GuardianCommand:
		// A Ctrl-C in the terminal reaches the whole group of processes; what counts for the guardian is its pipe's end.
		signal.Ignore(os.Interrupt)
		return true, sysprep.Guard(context.Background(), os.Stdin)
	}
	return false, nil
}

// components is what the plugin offers to Packer: the provisioner ec2-sysprep and the post-processor ec2-sysprep-ami.
func components() *plugin.Set {
	set := plugin.NewSet()
	set.RegisterProvisioner(plugin.DEFAULT_NAME, &sysprep.Provisioner{Guards: true, Hide: packersdk.LogSecretFilter.Set})
	set.RegisterPostProcessor("ami", new(ami.PostProcessor))
	set.SetVersion(version.PluginVersion)
	return set
}
