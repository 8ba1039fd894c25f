// Package lab puts a whole rehearsal together on one machine: an EC2 API
// (package ec2), Windows guests (package windows) and their WinRM endpoints
// (package winrm), all on loopback and on one clock that may run faster than
// the world.
//
//	l, err := lab.Start(ctx, lab.Options{Speed: 20})
//	defer l.Close()
//	machine := l.Machines()[0] // a running Windows Server 2022
//	machine.HTTP().Addr()      // where WinRM answers
//	machine.InstanceID()       // what EC2 calls it, at l.Endpoint()
//
// A guest that shuts itself down stops its instance; EC2 stopping, starting or
// rebooting the instance switches the guest off and on; what the guest prints
// to COM1 is the instance's console output; the guest's metadata service knows
// its instance's id.
//
// Nothing here is used by the plugin itself. Tests use it as their bench, and
// cmd/lab lets a user rehearse a template before it meets a real instance.
package lab
