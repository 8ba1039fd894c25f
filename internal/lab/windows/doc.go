// Package windows is a model of a Windows guest, as far as sealing one with
// Sysprep can see it: files, registry, services, CIM classes, processes,
// accounts, scheduled tasks, AppX packages, a launch agent and Sysprep itself,
// all taking their time on the lab's clock.
//
// A guest is described by a value, [Machine]. [Server2022] is a Windows that
// seals without a fault; a test says in one line how its Windows differs:
//
//	m := windows.Server2022()
//	m.Sysprep.Refuse = windows.RefuseBitLocker()
//	g := windows.New(m, clock, windows.Hooks{})
//	defer g.Close()
//
// # What it answers
//
// [Guest.Run] is what stands behind a WinRM endpoint: it knows the plugin's two
// PowerShell texts by their exact content and carries out in Go what they would
// do over the model (the protocol of package guest, and the sealer), the
// command lines of Packer's own communicator, and a few lines of cmd.exe's.
// Of anything else it says plainly that the lab cannot run it.
//
// # The first boot
//
// A sealed guest that is switched on goes through what the image's bytes say:
// the answer file's specialize and oobeSystem passes (the commands in order,
// the computer's name, Remote Desktop, passwords, locale and time zone),
// SetupComplete.cmd, and then the launch agent's own tasks by its own settings
// file. A guest that was not sealed does only the latter. [Guest.FirstBoot] says
// what it came to. The package reads the agents' files by itself and calls
// none of the plugin's packages that write them, so that it can be a witness.
//
// # What it does not model
//
// There is no PowerShell, no user interface and no network inside the guest.
// Rights are a flag on folders. Programs that the lab does not have but every
// Windows does (netsh, icacls, wevtutil …) end with 0 and leave a note
// ([Guest.Notes]). Restarts between the steps of a first boot are left out, and so
// is what somebody has to log on for (FirstLogonCommands). Wording of Sysprep's logs is partly this package's own; the
// format of a line, the identifiers and the sentences by which failures are
// known are those of real logs.
package windows
