// Command lab is a rehearsal room for templates: an EC2 API and a Windows guest
// behind WinRM, all modelled, all on this machine's loopback. Run it, put what
// it prints into a template, and see what a build would do without an AWS
// account and without waiting for a real Windows.
//
//	go run ./cmd/lab -speed 20 -vars lab.pkrvars.hcl
//
// It runs until Ctrl-C. See package lab for what is modelled and what is not.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}
