// Package guest is what can be asked of a Windows guest, as Go values.
//
// It speaks a small protocol with guest.ps1, a PowerShell text that runs on
// the guest for as long as the conversation lasts: one JSON request a line
// goes in, one JSON answer a line comes out. The requests are primitives
// (read a registry value, write a file, run a command, follow files and
// values); none of them knows Sysprep. What to do, what counts as a failure
// and what to say about it is decided in Go, by the packages above this one.
//
// A request is made from calls, values such as RegistryValue("HKLM\\…",
// "ImageState"). Any number of calls travel in one line, one round trip:
//
//	state := guest.RegistryValue(`HKLM\SYSTEM\Setup`, "SetupType")
//	tag := guest.FileStat(`C:\Windows\System32\Sysprep\Sysprep_succeeded.tag`)
//	if err := g.Ask(ctx, state, tag); err != nil { … } // the guest is out of reach
//	value, err := state.Answer()                       // this call's own failure
//
// No state lives in the guest's process. When the connection is lost, Ask
// starts a new one and repeats what was not answered; calls that must not be
// carried out twice (Run, Start) are not repeated and fail with ErrUnknown.
//
// The second text, seal.ps1, is the sealer: it runs outside the session,
// carries out a SealPlan, decides by what it sees whether Sysprep sealed the
// guest, and shuts it down or puts back what was changed. See SealPlan.
//
// The texts are Windows PowerShell 3.0 to 5.1 and PowerShell 7. Conformance
// vectors under testdata/protocol hold the texts and the lab's model of
// Windows to the same answers.
package guest
