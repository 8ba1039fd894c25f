//go:generate go tool packer-sdc struct-markdown

package sysprep

// ScriptConfig is what a batch file around Sysprep does: either commands are
// added to the one on the guest, or a file of the user's own replaces it.
type ScriptConfig struct {
	// Commands that are added to the end of the script on the guest, or make up the
	// script where there is none. They are lines of a batch file, in ASCII, and must
	// be quick.
	Commands []string `mapstructure:"commands"`
	// A local batch file that replaces the script on the guest. It gets CR LF line ends
	// and an `exit /b 0` at its end; it must be ASCII.
	Path string `mapstructure:"path"`
	// Accept that the script loses the line about remote desktop: the one in
	// `before_sysprep` that closes it (`fDenyTSConnections` = 1), so that nobody can
	// enter an instance in its first moments, when the Administrator has no password
	// yet, or the one in `sysprep_specialize` that opens it again. The other scripts
	// have no such line. Default: `false`.
	AllowLostRDPLine bool `mapstructure:"allow_lost_rdp_line"`
}
