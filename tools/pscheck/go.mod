// The checker of the plugin's PowerShell texts. It is a module of its own because its grammar needs cgo.
module github.com/golden-ami/packer-plugin-ec2-sysprep/tools/pscheck

go 1.25.11

require (
	github.com/alexaandru/go-sitter-forest/powershell v1.9.1
	github.com/tree-sitter/go-tree-sitter v0.25.0
)

require github.com/mattn/go-pointer v0.0.1 // indirect
