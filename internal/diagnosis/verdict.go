package diagnosis

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/text/encoding/unicode"
)

// pendingLimit bounds what a Verdicts keeps of a line without an end.
const pendingLimit = 64 << 10

// Verdicts looks for Sysprep's verdict in a log that is still growing. Feed it
// the new bytes as they arrive; it puts lines together that a read has cut.
// The zero value is ready for use, and one Verdicts serves one log.
type Verdicts struct {
	// Log names the log in what Feed returns.
	Log string

	pending []byte
	wide    bool
	lines   int
}

// Feed takes the next bytes of the log and returns the first line in them by
// which Sysprep says that it gave up or waits at a dialog, or nil. Noise,
// warnings and a provider's failure alone are no verdict: Sysprep goes on
// after some of them.
func (v *Verdicts) Feed(data []byte) *Match {
	v.pending = append(v.pending, data...)
	if v.lines == 0 {
		even, odd := zeroShare(v.pending)
		v.wide = odd > 0.5 && even < 0.1
	}
	end := v.lastLineEnd()
	if end == 0 && len(v.pending) > pendingLimit {
		end = len(v.pending) &^ 1
	}
	whole := v.pending[:end]
	v.pending = slices.Clone(v.pending[end:])
	return v.look(whole)
}

// Close looks at what is left when the log has ended without a line end.
func (v *Verdicts) Close() *Match {
	rest := v.pending
	v.pending = nil
	return v.look(rest)
}

func (v *Verdicts) look(data []byte) *Match {
	if len(data) == 0 {
		return nil
	}
	c := Default()
	var found *Match
	text := v.decode(data)
	for _, l := range ParseLines(text) {
		l.Number += v.lines
		s, subject := c.match(l)
		if s != nil && s.Role == RoleVerdict {
			found = &Match{Log: v.Log, Line: l, Signature: *s, Subject: subject}
			break
		}
	}
	v.lines += strings.Count(text, "\n")
	return found
}

func (v *Verdicts) decode(data []byte) string {
	if v.wide {
		return decodeUTF16(data, unicode.LittleEndian)
	}
	return Decode(data)
}

// lastLineEnd is the offset after the last line end in what is pending.
func (v *Verdicts) lastLineEnd() int {
	if !v.wide {
		return bytes.LastIndexByte(v.pending, '\n') + 1
	}
	for i := len(v.pending)&^1 - 2; i >= 0; i -= 2 {
		if v.pending[i] == '\n' && v.pending[i+1] == 0 {
			return i + 2
		}
	}
	return 0
}

// FindVerdict looks for the first verdict in a whole text; nil when Sysprep
// did not give up there.
func FindVerdict(t Text) *Match {
	v := Verdicts{Log: t.Name}
	if m := v.Feed(t.Data); m != nil {
		return m
	}
	return v.Close()
}
