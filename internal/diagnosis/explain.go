package diagnosis

import (
	"fmt"
	"slices"
	"strings"
)

// CodeUnknown is the code of a failure that no signature explains.
const CodeUnknown = "ES-300"

// quoteLimit is how many characters of a log line are shown; the rest is in
// the log itself.
const quoteLimit = 400

// Text is a piece of a log: what one run has added to it.
type Text struct {
	// Name is how the user knows the log, for instance `Panther\setuperr.log`.
	Name string
	// Data are the bytes as they lie on the guest (see Decode).
	Data []byte
}

// Match is a line of a log and the signature that explains it.
type Match struct {
	// Log is the name of the text.
	Log  string
	Line Line
	// Signature is zero for an Error line that no signature knows.
	Signature Signature
	// Subject is what the line names: a package, a provider, a code.
	Subject string
}

// String is the line as a user sees it: log, line number, message.
func (m Match) String() string {
	text := m.Line.Text
	if r := []rune(text); len(r) > quoteLimit {
		text = string(r[:quoteLimit]) + "…"
	}
	return fmt.Sprintf("%s:%d: %s", m.Log, m.Line.Number, text)
}

// Explanation is what the logs say about a failure.
type Explanation struct {
	// Code is the stable code, CodeUnknown when no signature explains the failure.
	Code string
	// Class of the cause; empty when no signature matched.
	Class Class
	// Cause is the first line that names what is wrong, nil when there is none.
	// Without a known one it is the first Error line that is not noise.
	Cause *Match
	// Verdict is the line by which Sysprep gave up, nil when there is none.
	Verdict *Match
	// Subjects are what all lines of the cause's kind name, each once: every
	// package that Sysprep complained about, for instance.
	Subjects []string
	// Also are the first lines of other signatures that a user should know
	// about, warnings included, in the order of the logs.
	Also []Match
	// Meaning and Remedy are never empty.
	Meaning string
	Remedy  string
}

// Known says whether a signature explains the logs.
func (e Explanation) Known() bool { return e.Code != CodeUnknown }

// Fatal says whether the logs themselves speak of a failure: a cause of a
// fatal class, or a verdict. A false answer is no proof of success.
func (e Explanation) Fatal() bool {
	return e.Verdict != nil || e.Class == ClassFatal || e.Class == ClassFatalAtDeploy
}

// String is the explanation as it is shown when a build fails, several lines
// without a line end at the last.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", e.Code, e.Meaning)
	if e.Cause != nil {
		fmt.Fprintf(&b, "  cause:   %s\n", e.Cause)
	}
	if e.Verdict != nil {
		fmt.Fprintf(&b, "  verdict: %s\n", e.Verdict)
	}
	if len(e.Subjects) > 1 {
		fmt.Fprintf(&b, "  names:   %s\n", strings.Join(e.Subjects, ", "))
	}
	for _, m := range e.Also {
		fmt.Fprintf(&b, "  also:    %s (%s)\n", m, m.Signature.Code)
	}
	fmt.Fprintf(&b, "  to do:   %s", e.Remedy)
	return b.String()
}

// Explain explains the logs by the default catalogue. The texts go from the
// most to the least telling, as a rule setuperr.log, setupact.log, the agent's
// log: the first one that names a cause wins.
func Explain(texts ...Text) Explanation { return Default().Explain(texts...) }

// Explain explains the logs by this catalogue; see the function Explain.
func (c *Catalogue) Explain(texts ...Text) Explanation {
	var all []Match
	var unknown *Match
	for _, t := range texts {
		matches, firstError := c.scan(t)
		all = append(all, matches...)
		if unknown == nil {
			unknown = firstError
		}
	}
	e := Explanation{Verdict: verdictOf(all)}
	e.Cause = causeOf(all, e.Verdict)
	if e.Cause == nil && e.Verdict != nil {
		e.Cause = c.causeInVerdict(*e.Verdict)
	}
	if e.Cause != nil && unknown != nil && severity(e.Cause.Signature.Class) > severity(ClassFatalConfig) {
		// A line that does not stop Sysprep explains less than an unknown error.
		e.Cause = nil
	}
	switch {
	case e.Cause != nil:
		e.take(e.Cause.Signature)
	case e.Verdict != nil && unknown == nil:
		e.take(e.Verdict.Signature)
	case unknown != nil:
		e.Code, e.Cause = CodeUnknown, unknown
		e.Meaning = "The logs hold an error that the catalogue does not know."
		e.Remedy = "Read the lines around it; the DLL or the function it names stands in %windir%\\System32\\Sysprep\\ActionFiles."
	default:
		e.Code = CodeUnknown
		e.Meaning = "The logs of this run hold no error."
		e.Remedy = "Look at the whole of setupact.log and at the launch agent's log."
	}
	e.Subjects = subjectsOf(all, e.Cause)
	e.Also = alsoOf(all, e.Cause)
	return e
}

func (e *Explanation) take(s Signature) {
	e.Code, e.Class, e.Meaning, e.Remedy = s.Code, s.Class, s.Meaning, s.Remedy
}

// scan finds the known lines of a text and its first Error line that is
// neither known nor noise.
func (c *Catalogue) scan(t Text) (matches []Match, unknown *Match) {
	for _, l := range ParseLines(Decode(t.Data)) {
		switch s, subject := c.match(l); {
		case s == nil && l.Level == LevelError && unknown == nil:
			unknown = &Match{Log: t.Name, Line: l}
		case s != nil && s.Role != RoleNoise:
			matches = append(matches, Match{Log: t.Name, Line: l, Signature: *s, Subject: subject})
		}
	}
	return matches, unknown
}

// verdictOf prefers Sysprep's last word, which names the phase and the code,
// to the lines on the way to it: the catalogue's order among verdicts, then
// among states.
func verdictOf(all []Match) *Match {
	for _, role := range []Role{RoleVerdict, RoleState} {
		var best *Match
		for i := range all {
			m := &all[i]
			if m.Signature.Role != role {
				continue
			}
			if best == nil || verdictRank(m) < verdictRank(best) {
				best = m
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

// verdictRank puts the line with the phase before the one about the DLLs, and
// a wait at a dialog last.
func verdictRank(m *Match) int {
	switch {
	case m.Signature.Class == ClassHang:
		return 2
	case m.Signature.ID == "winmain-hit-failure":
		return 0
	default:
		return 1
	}
}

// severity orders the classes; a smaller number explains a failure better.
func severity(c Class) int {
	return slices.Index([]Class{ClassFatal, ClassFatalAtDeploy, ClassHang, ClassFatalConfig, ClassMaybeOK, ClassWarn, ClassInfo}, c)
}

// causeOf chooses the first line of the most telling kind: a named cause
// before a provider's bare failure before a line that only passes it on. Lines
// of a class that does not break generalize come after all of these. A run may
// try twice, so the lines before the verdict go first.
func causeOf(all []Match, verdict *Match) *Match {
	pick := func(ms []Match) *Match {
		for _, fatal := range []bool{true, false} {
			for _, role := range []Role{RoleCause, RoleGeneric, RoleFollowUp} {
				var best *Match
				for i := range ms {
					m := &ms[i]
					isFatal := m.Signature.Class == ClassFatal || m.Signature.Class == ClassFatalAtDeploy
					if m.Signature.Role != role || isFatal != fatal {
						continue
					}
					if best == nil || (!fatal && severity(m.Signature.Class) < severity(best.Signature.Class)) {
						best = m
					}
				}
				if best != nil {
					return best
				}
			}
		}
		return nil
	}
	if verdict != nil {
		for i := range all {
			if all[i].Log != verdict.Log || all[i].Line.Number != verdict.Line.Number {
				continue
			}
			if m := pick(all[:i]); m != nil && severity(m.Signature.Class) <= severity(ClassFatalAtDeploy) {
				return m
			}
			break
		}
		if m := pick(all); m != nil && severity(m.Signature.Class) <= severity(ClassFatalConfig) {
			return m
		}
		return nil
	}
	return pick(all)
}

// causeInVerdict looks whether the verdict itself carries the code of a known
// cause, as "hr = 0xc004d307" does.
func (c *Catalogue) causeInVerdict(verdict Match) *Match {
	for i := range c.signatures {
		s := &c.signatures[i]
		if s.Role == RoleCause && s.countsOn(verdict.Line.Level) && s.re.MatchString(verdict.Line.Raw) {
			return &Match{Log: verdict.Log, Line: verdict.Line, Signature: *s}
		}
	}
	return nil
}

// subjectsOf gathers what the lines of the cause's signature name.
func subjectsOf(all []Match, cause *Match) []string {
	var out []string
	if cause == nil || cause.Signature.ID == "" {
		return nil
	}
	for _, m := range all {
		if m.Signature.ID == cause.Signature.ID && m.Subject != "" && !slices.Contains(out, m.Subject) {
			out = append(out, m.Subject)
		}
	}
	return out
}

// alsoOf gathers the first line of every other signature that is a cause of
// its own.
func alsoOf(all []Match, cause *Match) []Match {
	seen := map[string]bool{}
	if cause != nil {
		seen[cause.Signature.ID] = true
	}
	var out []Match
	for _, m := range all {
		if m.Signature.Role != RoleCause || m.Signature.Class == ClassInfo || seen[m.Signature.ID] {
			continue
		}
		seen[m.Signature.ID] = true
		out = append(out, m)
	}
	return out
}
