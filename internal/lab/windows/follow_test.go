package windows

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// following is a Follow of a log, a document, a value and a process.
func following(listen bool, limit int) string {
	return fmt.Sprintf(`{"op":"follow","milliseconds":1000,"heartbeat":10000,"limit":%d,"listen":%t,`+
		`"logs":[{"path":"C:\\lab.log","offset":2}],"documents":["C:\\state.json"],`+
		`"values":[{"path":"HKLM\\SYSTEM\\Setup","name":"SetupType"}],"processes":["sysprep"]}`, limit, listen)
}

func TestAFollowTellsAllAndThenOnlyWhatChanged(t *testing.T) {
	m := Server2022()
	m.SetFile(`C:\lab.log`, "0123")
	m.SetFile(`C:\state.json`, "{}")
	bubble(t, m, func(t *testing.T, b *bench) {
		s := b.open()
		defer s.close()
		began := time.Now()
		s.send(following(true, 600000))

		first := s.reply().Event
		if first == nil || first.N != 1 || len(first.Logs) != 1 || string(first.Logs[0].Data) != "23" || first.Logs[0].Offset != 2 ||
			len(first.Documents) != 1 || string(first.Documents[0].Data) != "{}" || len(first.Values) != 1 || first.Values[0].Value.Text != "0" || len(first.Processes) != 0 {
			t.Fatalf("first event %+v", first)
		}
		second := s.reply().Event
		if second == nil || second.N != 2 || second.Elapsed != 10000 || second.Logs != nil || second.Documents != nil || second.Values != nil {
			t.Fatalf("heartbeat %+v", second)
		}
		b.PutRegistry(setupKey, "SetupType", Word("2"))
		third := s.reply().Event
		if third == nil || len(third.Values) != 1 || third.Values[0].Value.Text != "2" || third.Elapsed != 11000 {
			t.Fatalf("after the value %+v", third)
		}
		b.PutFile(`C:\lab.log`, []byte("0123"+strings.Repeat("x", 70000)))
		var pieces []int
		for range 3 {
			event := s.reply().Event
			if event == nil || len(event.Logs) != 1 {
				t.Fatalf("a piece of the log: %+v", event)
			}
			pieces = append(pieces, len(event.Logs[0].Data))
		}
		if pieces[0] != 32768 || pieces[1] != 32768 || pieces[2] != 70000-2*32768 {
			t.Errorf("pieces of %v bytes", pieces)
		}
		b.PutFile(`C:\lab.log`, []byte("new"))
		if event := s.reply().Event; event == nil || len(event.Logs) != 1 || event.Logs[0].Offset != 0 || string(event.Logs[0].Data) != "new" {
			t.Errorf("after the log was cut: %+v", event)
		}
		b.RemoveFile(`C:\state.json`)
		if event := s.reply().Event; event == nil || len(event.Documents) != 1 || len(event.Documents[0].Data) != 0 {
			t.Errorf("after the document went: %+v", event)
		}
		b.Execute(sysprepFolder+`\sysprep.exe`, "/oobe /generalize /quit")
		if event := s.reply().Event; event == nil || len(event.Processes) != 1 || event.Processes[0].Name != "sysprep" {
			t.Errorf("after Sysprep started: %+v", event)
		}
		if _, err := s.stdin.Write([]byte(guest.Interrupt)); err != nil {
			t.Fatal(err)
		}
		last := s.reply()
		for last.Event != nil {
			last = s.reply()
		}
		if len(last.Answers) != 1 || answerAs[guest.Followed](t, last.Answers[0]).Ended != "input" {
			t.Errorf("the end %+v", last)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("all of it took %s", took)
		}
		s.ask(`{"op":"hello"}`)
	})
}

func TestAFollowEndsAtItsLimit(t *testing.T) {
	for _, listen := range []bool{false, true} {
		t.Run(fmt.Sprintf("listening %t", listen), func(t *testing.T) {
			bubble(t, Server2022(), func(t *testing.T, b *bench) {
				s := b.open()
				defer s.close()
				began := time.Now()
				s.send(following(listen, 5000))
				last := s.reply()
				for last.Event != nil {
					last = s.reply()
				}
				if answerAs[guest.Followed](t, last.Answers[0]).Ended != "limit" || time.Since(began) != 5*time.Second {
					t.Errorf("ended with %s after %s", last.Answers[0], time.Since(began))
				}
				if listen {
					// The read that listened is still pending and takes one byte.
					if _, err := s.stdin.Write([]byte(guest.Interrupt)); err != nil {
						t.Fatal(err)
					}
				}
				s.ask(`{"op":"hello"}`)
			})
		})
	}
}

func TestAListeningFollowEndsWithItsInput(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		s := b.open()
		s.send(following(true, 600000))
		s.reply()
		_ = s.stdin.Close()
		last := s.reply()
		for last.Event != nil {
			last = s.reply()
		}
		if answerAs[guest.Followed](t, last.Answers[0]).Ended != "input" {
			t.Errorf("ended with %s", last.Answers[0])
		}
		if code := <-s.ended; code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}
