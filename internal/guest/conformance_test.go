package guest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest/direct"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/windows"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/winrm"
)

// target is something that answers the protocol.
type target struct {
	// windows says that it is one: a registry, CIM, cmd.exe.
	windows bool
	// folder is an existing folder for what the vectors write.
	folder, separator string
	// connect opens a conversation, which the test closes.
	connect func(t *testing.T) *guest.Guest
}

// conformanceReconnect is how long a conversation may be gone.
const conformanceReconnect = 10 * time.Second

// TestConformance holds guest.ps1 and the lab's model of it to the same
// answers: those of the vectors.
func TestConformance(t *testing.T) {
	t.Run("lab", func(t *testing.T) { conform(t, labTarget(t)) })
	found := false
	for _, program := range []string{"powershell.exe", "pwsh"} {
		t.Run(program, func(t *testing.T) {
			path, err := exec.LookPath(program)
			if err != nil {
				t.Skipf("there is no %s on PATH", program)
			}
			found = true
			conform(t, localTarget(t, path))
		})
	}
	if os.Getenv("GUEST_CONFORMANCE") == "powershell" && !found {
		t.Error("GUEST_CONFORMANCE is powershell and none is on PATH")
	}
	t.Run("winrm", func(t *testing.T) {
		if os.Getenv("GUEST_CONFORMANCE") != "winrm" {
			t.Skip("GUEST_CONFORMANCE is not winrm: see tools/conformance")
		}
		conform(t, winrmTarget(t))
	})
}

func conform(t *testing.T, on target) {
	g := on.connect(t)
	other := on.connect(t)
	for _, file := range readVectors(t) {
		for _, v := range file.vectors {
			t.Run(file.name+"/"+v.Name, func(t *testing.T) {
				if v.Needs == "windows" && !on.windows {
					t.Skip("the vector needs a Windows")
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				c := &conformer{t: t, ctx: ctx, guest: g, other: other, places: newPlaces(on.folder, on.separator)}
				c.prepare(on.windows)
				defer c.tidy(on.windows)
				c.run(v)
			})
		}
	}
}

// conformer runs one vector.
type conformer struct {
	t            *testing.T
	ctx          context.Context
	guest, other *guest.Guest
	places       places
}

func (c *conformer) prepare(onWindows bool) {
	c.t.Helper()
	c.succeed(c.guest, json.RawMessage(`{"op":"folder","path":"{{folder}}"}`))
	if onWindows {
		c.succeed(c.guest,
			json.RawMessage(`{"op":"registry.write","path":"{{key}}","name":"mark","set":{"exists":true,"kind":"String","text":"mark"}}`),
			json.RawMessage(`{"op":"registry.delete","path":"{{key}}","name":"mark"}`))
	}
}

func (c *conformer) tidy(onWindows bool) {
	calls := []json.RawMessage{json.RawMessage(`{"op":"file.delete","path":"{{folder}}","recurse":true}`)}
	if onWindows {
		calls = append(calls, json.RawMessage(`{"op":"registry.delete","path":"{{key}}","key":true}`))
	}
	c.succeed(c.guest, calls...)
}

func (c *conformer) run(v vector) {
	c.succeed(c.guest, v.Given...)
	if v.Follow != nil {
		c.follow(*v.Follow)
		return
	}
	answers := c.ask(c.guest, v.Ask...)
	if len(v.Want) != len(answers) {
		c.t.Fatalf("%d answers are wanted of %d calls", len(v.Want), len(v.Ask))
	}
	for i, answer := range answers {
		if found := mismatch(fmt.Sprintf("answer %d", i+1), c.filled(v.Want[i]), answer); found != "" {
			c.t.Error(found)
		}
	}
}

// ask puts calls in one request and returns the answers as they came.
func (c *conformer) ask(g *guest.Guest, texts ...json.RawMessage) []any {
	c.t.Helper()
	var calls []guest.Asker
	var raws []*guest.Call[json.RawMessage]
	for _, text := range texts {
		op, args := c.call(text)
		raw := guest.AnyCall(op, args)
		calls, raws = append(calls, raw), append(raws, raw)
	}
	if err := g.Ask(c.ctx, calls...); err != nil {
		c.t.Fatal(err)
	}
	var answers []any
	for _, raw := range raws {
		answers = append(answers, answerOf(c.t, raw))
	}
	return answers
}

func answerOf(t *testing.T, call *guest.Call[json.RawMessage]) any {
	t.Helper()
	data, err := call.Answer()
	for _, kind := range []string{guest.KindMissing, guest.KindDenied, guest.KindConflict, guest.KindInvalid, guest.KindFailed} {
		if guest.IsKind(err, kind) {
			return map[string]any{"error": map[string]any{"kind": kind, "message": err.Error()}}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	var answer any
	if err := json.Unmarshal(data, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// call splits a call of a vector into operation and arguments.
func (c *conformer) call(text json.RawMessage) (op string, args map[string]json.RawMessage) {
	c.t.Helper()
	filled, err := c.places.fill(text)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal(filled, &args); err != nil {
		c.t.Fatalf("%s: %v", filled, err)
	}
	if err := json.Unmarshal(args["op"], &op); err != nil {
		c.t.Fatalf("%s: %v", filled, err)
	}
	delete(args, "op")
	return op, args
}

func (c *conformer) succeed(g *guest.Guest, texts ...json.RawMessage) {
	c.t.Helper()
	if len(texts) == 0 {
		return
	}
	for i, answer := range c.ask(g, texts...) {
		if object, ok := answer.(map[string]any); ok && object["error"] != nil {
			c.t.Fatalf("%s: %v", texts[i], object["error"])
		}
	}
}

// filled replaces the placeholders in what is wanted.
func (c *conformer) filled(want any) any {
	c.t.Helper()
	text, err := json.Marshal(want)
	if err != nil {
		c.t.Fatal(err)
	}
	if text, err = c.places.fill(text); err != nil {
		c.t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(text, &out); err != nil {
		c.t.Fatal(err)
	}
	return out
}

func (c *conformer) follow(v followVector) {
	text, err := c.places.fill(v.Args)
	if err != nil {
		c.t.Fatal(err)
	}
	var args guest.FollowArgs
	if err := json.Unmarshal(text, &args); err != nil {
		c.t.Fatal(err)
	}
	next, number := 0, int64(0)
	closest := ""
	err = c.guest.Follow(c.ctx, args, func(event guest.Event) bool {
		number++
		if event.N != number {
			c.t.Errorf("event %d says that it is number %d", number, event.N)
		}
		if number == 1 {
			c.succeed(c.other, v.During...)
		}
		if next < len(v.Events) {
			data, err := json.Marshal(event)
			if err != nil {
				c.t.Error(err)
			}
			var got any
			if err := json.Unmarshal(data, &got); err != nil {
				c.t.Error(err)
			}
			if closest = mismatch(fmt.Sprintf("event %d", next+1), c.filled(v.Events[next]), got); closest == "" {
				next++
			}
		}
		return v.Limit || next < len(v.Events)
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if next < len(v.Events) {
		c.t.Errorf("the Follow ended after %d events: %s", number, closest)
	}
	// The conversation goes on as if nothing had been.
	c.succeed(c.guest, json.RawMessage(`{"op":"processes","names":[]}`))
}

// labTarget is the modelled Windows behind a real WinRM endpoint.
func labTarget(t *testing.T) target {
	machine := windows.New(windows.Server2022(), nil, windows.Hooks{})
	t.Cleanup(machine.Close)
	server, err := winrm.Start(t.Context(), winrm.Config{Windows: machine, AllowUnencrypted: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	password, _ := machine.Password("Administrator")
	return target{windows: true, folder: `C:\Windows\Temp`, separator: `\`, connect: func(t *testing.T) *guest.Guest {
		return overWinRM(t, direct.Options{Host: "127.0.0.1", Port: server.Addr().Port, Username: "Administrator", Password: password})
	}}
}

// winrmTarget is a real Windows, set up by tools/conformance.
func winrmTarget(t *testing.T) target {
	port, err := strconv.Atoi(os.Getenv("GUEST_CONFORMANCE_PORT"))
	if err != nil {
		t.Fatalf("GUEST_CONFORMANCE_PORT: %v", err)
	}
	return target{windows: true, folder: `C:\Windows\Temp`, separator: `\`, connect: func(t *testing.T) *guest.Guest {
		return overWinRM(t, direct.Options{
			Host: os.Getenv("GUEST_CONFORMANCE_HOST"), Port: port,
			UseSSL:            os.Getenv("GUEST_CONFORMANCE_SCHEME") == "https",
			CertificateSHA256: os.Getenv("GUEST_CONFORMANCE_SHA256"),
			Username:          os.Getenv("GUEST_CONFORMANCE_USER"), Password: os.Getenv("GUEST_CONFORMANCE_PASSWORD"),
		})
	}}
}

func overWinRM(t *testing.T, options direct.Options) *guest.Guest {
	t.Helper()
	client, err := direct.Dial(options)
	if err != nil {
		t.Fatal(err)
	}
	g := guest.New(guest.OverWinRM(client), conformanceReconnect)
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// localTarget is a PowerShell of this machine, started directly.
func localTarget(t *testing.T, program string) target {
	return target{
		windows: runtime.GOOS == "windows", folder: t.TempDir(), separator: string(os.PathSeparator),
		connect: func(t *testing.T) *guest.Guest {
			g := guest.New(&programLink{program: program}, conformanceReconnect)
			t.Cleanup(func() { _ = g.Close() })
			return g
		},
	}
}
