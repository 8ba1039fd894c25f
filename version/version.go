// Package version holds the plugin's version.
package version

import "github.com/hashicorp/packer-plugin-sdk/version"

var (
	// Version is the version of the next release, set by the release's linker flags.
	Version = "0.1.0"
	// VersionPrerelease is "dev" on the main branch and empty in a release.
	VersionPrerelease = "dev"
	// VersionMetadata is build metadata; Packer drops it.
	VersionMetadata = ""

	// PluginVersion is what the plugin tells Packer.
	PluginVersion = version.NewPluginVersion(Version, VersionPrerelease, VersionMetadata)
)
