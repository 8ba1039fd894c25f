// Package diagnosis explains why Sysprep refused. Log text goes in (the Panther
// logs setuperr.log and setupact.log, the launch agents' logs), and out comes
// the line that says the cause, the line that says the verdict, what they mean,
// what to do about it, and a stable code ES-NNN to search for.
//
// The knowledge is data: catalogue.json, one entry a failure signature. The
// code around it parses lines, leaves out noise and chooses among the entries.
//
// Windows appends to these logs over the life of a machine. The package looks
// at whatever it is given, so the caller passes only what this run has added.
// It reads nothing itself, and decides nothing about the build: whether a
// guest is sealed is told by package generalize from what Windows left behind.
package diagnosis

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Class says what a signature's line means for the image.
type Class string

// The classes.
const (
	// ClassFatal: Sysprep refuses or breaks off.
	ClassFatal Class = "fatal"
	// ClassFatalAtDeploy: the image starts into an error.
	ClassFatalAtDeploy Class = "fatal-at-deploy"
	// ClassFatalConfig: Sysprep goes on, but not as it was told to.
	ClassFatalConfig Class = "fatal-config"
	// ClassHang: somebody waits, and will go on waiting.
	ClassHang Class = "hang"
	// ClassMaybeOK: a failure of the connection that a successful shutdown causes too.
	ClassMaybeOK Class = "maybe-ok"
	// ClassWarn: worth knowing; Sysprep goes on.
	ClassWarn Class = "warn"
	// ClassInfo: a state, no complaint.
	ClassInfo Class = "info"
	// ClassNoise: looks like an error and is none. Such a line never counts.
	ClassNoise Class = "noise"
)

// Role says what part a signature's line plays among the lines of one failure.
type Role string

// The roles.
const (
	// RoleCause names the thing that is wrong.
	RoleCause Role = "cause"
	// RoleGeneric names the provider that failed, and not why.
	RoleGeneric Role = "generic"
	// RoleFollowUp passes on a failure that an earlier line named.
	RoleFollowUp Role = "follow-up"
	// RoleVerdict says that Sysprep gave up, or waits at a dialog that nobody sees.
	RoleVerdict Role = "verdict"
	// RoleState tells a state of the image that proves the failure.
	RoleState Role = "state"
	// RoleNoise is the only role of ClassNoise.
	RoleNoise Role = "noise"
)

// Evidence says how well a signature is known.
type Evidence string

// The kinds of evidence.
const (
	// EvidenceSeen: the line stands in a real log.
	EvidenceSeen Evidence = "seen"
	// EvidenceDocumented: AWS, Microsoft or an issue thread describes it.
	EvidenceDocumented Evidence = "documented"
	// EvidenceGeneral: general knowledge of Windows, not confirmed by a source.
	EvidenceGeneral Evidence = "general"
)

// Signature is one entry of the catalogue.
type Signature struct {
	// ID names the entry in the code and in tests, for instance "appx-not-provisioned".
	ID string `json:"id"`
	// Code is the stable code that users see and search for, ES-301 to ES-399.
	// A code is never given to another failure.
	Code  string `json:"code"`
	Class Class  `json:"class"`
	Role  Role   `json:"role"`
	// Level is "any" for signatures that count on a line of any level. Empty
	// means: only on lines of level Error and on lines without a level.
	// Sysprep names the same providers in Info lines when all is well.
	Level string `json:"level,omitempty"`
	// Match finds the line: an expression that RE2 and .NET read alike. The
	// group "subject" is the package, the code, the provider or the file.
	Match string `json:"match"`
	// Events are Sysprep's own message numbers. An Error line that carries one
	// counts even when its sentence is in another language.
	Events []string `json:"events,omitempty"`
	// Meaning is one or two sentences for the user.
	Meaning string `json:"meaning"`
	// Remedy says what to do.
	Remedy   string   `json:"remedy"`
	Evidence Evidence `json:"evidence"`
	// Source is where the line or the fact was found.
	Source string `json:"source"`

	re      *regexp.Regexp
	subject int
}

// catalogueFile is the form of catalogue.json.
type catalogueFile struct {
	Version    int         `json:"version"`
	Signatures []Signature `json:"signatures"`
}

//go:embed catalogue.json
var catalogueJSON []byte

// Catalogue is a set of failure signatures in order of preference: of two that
// match one line the earlier one explains it.
type Catalogue struct {
	signatures []Signature
}

// Default is the catalogue that the plugin ships. Should it not parse, which
// the tests exclude, it is empty: it then explains nothing and breaks nothing,
// since it is asked when a build is failing already.
var Default = sync.OnceValue(func() *Catalogue {
	c, err := Load(catalogueJSON)
	if err != nil {
		return &Catalogue{}
	}
	return c
})

// Load reads a catalogue from JSON. It refuses entries without an ID, code or
// meaning, entries that share an ID or code, and expressions that do not
// compile.
func Load(data []byte) (*Catalogue, error) {
	var f catalogueFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("reading the catalogue of failure signatures: %w", err)
	}
	if f.Version != 1 {
		return nil, fmt.Errorf("reading the catalogue of failure signatures: version %d is not 1", f.Version)
	}
	seen := make(map[string]bool, 2*len(f.Signatures))
	for i := range f.Signatures {
		s := &f.Signatures[i]
		if s.ID == "" || s.Code == "" || s.Meaning == "" || s.Remedy == "" {
			return nil, fmt.Errorf("signature %d (%q): id, code, meaning and remedy must not be empty", i, s.ID)
		}
		if seen[s.ID] || seen[s.Code] {
			return nil, fmt.Errorf("signature %d: id %q or code %q is taken already", i, s.ID, s.Code)
		}
		seen[s.ID], seen[s.Code] = true, true
		re, err := regexp.Compile(s.Match)
		if err != nil {
			return nil, fmt.Errorf("signature %q: %w", s.ID, err)
		}
		s.re, s.subject = re, re.SubexpIndex("subject")
	}
	return &Catalogue{signatures: f.Signatures}, nil
}

// Signatures are the entries in order of preference.
func (c *Catalogue) Signatures() []Signature { return slices.Clone(c.signatures) }

// byCode are the entries in the order of their codes.
func (c *Catalogue) byCode() []Signature {
	out := c.Signatures()
	slices.SortFunc(out, func(a, b Signature) int { return strings.Compare(a.Code, b.Code) })
	return out
}

// Lookup finds an entry by its ID or its code, upper or lower case.
func (c *Catalogue) Lookup(key string) (Signature, bool) {
	for _, s := range c.signatures {
		if strings.EqualFold(s.ID, key) || strings.EqualFold(s.Code, key) {
			return s, true
		}
	}
	return Signature{}, false
}

// VerdictPatterns are the expressions of the lines by which Sysprep says that
// it gave up, for the guest's sealer, which looks for them in the new bytes of
// setuperr.log. .NET reads them as Go does.
func (c *Catalogue) VerdictPatterns() []string {
	var out []string
	for _, s := range c.signatures {
		if s.Role == RoleVerdict {
			out = append(out, s.Match)
		}
	}
	return out
}

// match finds the signature that explains a line, and the subject it names.
// Noise comes first in the catalogue and so always wins; verdicts come next, so
// that a known code in one does not hide it.
func (c *Catalogue) match(l Line) (*Signature, string) {
	for i := range c.signatures {
		s := &c.signatures[i]
		if !s.countsOn(l.Level) {
			continue
		}
		if m := s.re.FindStringSubmatch(l.Raw); m != nil {
			if s.subject > 0 {
				return s, m[s.subject]
			}
			return s, ""
		}
	}
	if l.Level != LevelError || l.ID == "" {
		return nil, ""
	}
	for i := range c.signatures {
		if s := &c.signatures[i]; slices.Contains(s.Events, l.ID) {
			return s, ""
		}
	}
	return nil, ""
}

// countsOn says whether the signature is looked for on a line of this level.
func (s *Signature) countsOn(l Level) bool {
	return s.Level == "any" || l == LevelError || l == LevelUnknown
}
