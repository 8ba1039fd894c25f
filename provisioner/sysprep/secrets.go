package sysprep

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"html"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// hidden stands in the place of a secret.
const hidden = "<sensitive>"

// hide makes values secrets that no line may show from now on.
func (r *run) hide(values ...string) {
	if r.config.hide != nil {
		r.config.hide(values...)
	}
	r.known = append(r.known, values...)
	r.secrets = hiding(r.known)
}

// hiding returns what replaces each secret by a word, in every form in which
// files and programs write it.
func hiding(secrets []string) *strings.Replacer {
	var pairs []string
	for _, form := range formsOf(secrets) {
		pairs = append(pairs, form, hidden)
	}
	return strings.NewReplacer(pairs...)
}

// formsOf are the secrets as they are, and as JSON, YAML in quotes and XML
// spell them; the longer ones first, because one may begin with another.
func formsOf(secrets []string) []string {
	var forms []string
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		plain := inJSON(secret, false)
		forms = append(forms, secret, plain, inASCII(plain), inJSON(secret, true), inASCII(inJSON(secret, true)),
			strings.ReplaceAll(secret, "'", "''"), html.EscapeString(secret),
			strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(secret))
	}
	slices.SortFunc(forms, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(forms)
}

// inJSON is a text between the quotes of JSON; markup says that the characters
// of HTML are escaped as well, as Windows PowerShell and Go do.
func inJSON(text string, markup bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(markup)
	if err := e.Encode(text); err != nil {
		return text
	}
	quoted := strings.Trim(b.String(), "\n")
	quoted = quoted[1 : len(quoted)-1]
	if markup {
		quoted = strings.ReplaceAll(quoted, "'", `\u0027`)
	}
	return quoted
}

// inASCII escapes what is not ASCII as JSON does.
func inASCII(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// redact takes the secrets that this build knows out of a log, in the two
// encodings that logs have.
func (r *run) redact(data []byte) []byte {
	for _, form := range formsOf(r.known) {
		data = bytes.ReplaceAll(data, []byte(form), []byte(hidden))
		data = bytes.ReplaceAll(data, inUTF16(form), inUTF16(hidden))
	}
	return data
}

func inUTF16(text string) []byte {
	var out []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return out
}

// tells says whether data holds a secret that this build knows.
func (r *run) tells(data []byte) bool { return !bytes.Equal(r.redact(data), data) }

// veil takes the secrets out of an error's text: what a program on the guest
// printed may stand in it.
func (r *run) veil(err error) error {
	if err == nil {
		return nil
	}
	text := r.secrets.Replace(err.Error())
	if text == err.Error() {
		return err
	}
	return &veiledError{text, err}
}

type veiledError struct {
	text string
	err  error
}

func (e *veiledError) Error() string { return e.text }

func (e *veiledError) Unwrap() error { return e.err }
