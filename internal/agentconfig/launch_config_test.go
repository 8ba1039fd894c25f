package agentconfig

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustParseLaunch(t testing.TB, text string) *LaunchConfig {
	t.Helper()
	f, err := ParseLaunchConfig("LaunchConfig.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// launch is the default with parts of its text replaced, old and new in turn.
func launch(oldnew ...string) string {
	return strings.NewReplacer(oldnew...).Replace(string(DefaultLaunchConfig()))
}

func ptr[T any](v T) *T { return &v }

var launchChecks = []struct{ name, text string }{
	{"nothing to find", launch()},
	{"keys in another case, as the agent rewrites them", strings.NewReplacer(`"s`, `"S`, `"a`, `"A`, `"e`, `"E`, `"h`, `"H`).Replace(launch())},
	{"a password type in another case", launch("Random", "RANDOM")},
	{"everything is missing", "{}"},
	{"the file is a list", "[" + launch() + "]"},
	{"the file is a text", `"hunter2"`},
	{"keys that stand twice in different cases", launch(`"setWallpaper": true,`, `"setWallpaper": true, "SETWALLPAPER": false, "extra": 1, "EXTRA": 2,`)},
	{"a key that is misspelled", launch("handleUserData", "handleUserDate")},
	{"a key that nobody knows", launch(`"setWallpaper": true,`, `"setWallpaper": true, "enableTelemetry": true,`)},
	{"truth in quotes", launch("true", `"true"`)},
	{"truth as a number", launch("true", "1", "false", "0")},
	{"truth as null", launch("true", "null")},
	{"truth as a list", launch("true", "[]")},
	{"the documentation's placeholder", launch(`"Random"`, `"Random | Specify | DoNothing"`)},
	{"a password type that is a number", launch(`"Random"`, `1`)},
	{"a password type that is the password", launch(`"Random"`, `"hunter2"`)},
	{"an encrypted password", launch("Random", "Encrypted", `""`, `"hunter2"`)},
	{"a password in clear text", launch("Random", "Specify", `""`, `"Hunter2-hunter2"`)},
	{"a weak password", launch("Random", "specify", `""`, `"hunter2"`)},
	{"a password that is missing", launch("Random", "Specify")},
	{"a password that is null", launch("Random", "Specify", `""`, "null")},
	{"a password that is a number", launch("Random", "Specify", `""`, "12345678")},
	{"a password that is an object", launch(`""`, `{"a": "hunter2"}`)},
	{"a password that is not used", launch(`""`, `"hunter2"`)},
	{"no password and no key for it", launch(",\n  \"adminPassword\": \"\"", "")},
	{"a character outside ASCII", launch("Random", "Specify", `""`, `"Hünter2-hünter2"`)},
	{"a character outside ASCII with a byte order mark", "\xef\xbb\xbf" + launch("Random", "Specify", `""`, `"Hünter2-hünter2"`)},
}

func TestWhatIsFoundInLaunchConfig(t *testing.T) {
	var b strings.Builder
	for _, tt := range launchChecks {
		f := mustParseLaunch(t, tt.text)
		fmt.Fprintf(&b, "== %s\n%s", tt.name, found(t, f))
		if string(f.Bytes()) != tt.text {
			t.Errorf("%s: a file that nobody edited has changed", tt.name)
		}
		for _, secret := range []string{"unter2", "ünter2"} {
			if strings.Contains(b.String(), secret) || bytes.Contains(f.Redacted(), []byte(secret)) {
				t.Errorf("%s: the password is shown:\n%s", tt.name, f.Redacted())
			}
		}
		if strings.Count(string(f.Redacted()), "\n") != strings.Count(tt.text, "\n") {
			t.Errorf("%s: the redacted file has other lines:\n%s", tt.name, f.Redacted())
		}
	}
	golden(t, "launch-config-check.golden", b.String())
}

func TestUTF16OfPowerShellIsReadAndKept(t *testing.T) {
	for name, text := range map[string]string{"little-endian": utf16Marked(launch()), "big-endian": bigEndian(utf16Marked(launch()))} {
		f := mustParseLaunch(t, text)
		if got := f.Check(); len(got) > 0 || string(f.Bytes()) != text || !bytes.Equal(f.Redacted(), f.Bytes()) {
			t.Errorf("%s: %v", name, got)
		}
		if err := f.Apply(LaunchConfigSettings{SetComputerName: ptr(true)}); err != nil {
			t.Error(err)
		}
		want := utf16Marked(launch(`"setComputerName": false`, `"setComputerName": true`))
		if name == "big-endian" {
			want = bigEndian(want)
		}
		if string(f.Bytes()) != want {
			t.Errorf("%s: the edited file is not UTF-16 any more", name)
		}
	}
	for name, text := range map[string]string{"half a character": "\xff\xfe{\x00\x00\xd8", "half a unit": "\xff\xfe{\x00}", "the wrong half": "\xfe\xff\xdc\x00\x00{"} {
		if _, err := ParseLaunchConfig("f", []byte(text)); err == nil || !strings.Contains(err.Error(), "half a character in UTF-16") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// bigEndian swaps the bytes of each unit.
func bigEndian(little string) string {
	b := []byte(little)
	for i := 0; i+1 < len(b); i += 2 {
		b[i], b[i+1] = b[i+1], b[i]
	}
	return string(b)
}

var launchEdits = []struct {
	name string
	text string
	do   LaunchConfigSettings
}{
	{"one value", launch(), LaunchConfigSettings{HandleUserData: ptr(false)}},
	{"all values", launch(), LaunchConfigSettings{ptr(true), ptr(false), ptr(false), ptr(false), ptr(false), ptr(false), &Password{Mode: Keep}}},
	{"values that are there already", launch(), LaunchConfigSettings{ptr(false), ptr(true), ptr(true), ptr(true), ptr(true), ptr(true), &Password{Mode: Random}}},
	{"a password of one's own", launch(), LaunchConfigSettings{Password: &Password{Mode: Specify, Value: planted}}},
	{"a password with characters outside ASCII", launch(), LaunchConfigSettings{Password: &Password{Mode: Specify, Value: "Plänted\t"[:8] + "-😀s3cret"}}},
	{"a password of before goes", launch("Random", "Specify", `""`, `"Hunter2-hunter2"`), LaunchConfigSettings{Password: &Password{Mode: Random}}},
	{"the spelling of keys and types stays", launch("setWallpaper", "SetWallpaper", "Random", "donothing"), LaunchConfigSettings{SetWallpaper: ptr(false), Password: &Password{Mode: Keep}}},
	{"a wrong value is put right", launch("true", `"true"`), LaunchConfigSettings{SetWallpaper: ptr(true)}},
	{"missing keys are added", "{\n\t\"setWallpaper\":  true,\n\t\"SetComputerName\":  false\n}\n", LaunchConfigSettings{HandleUserData: ptr(true), Password: &Password{Mode: Specify, Value: planted}}},
	{"a missing key is added on the same line", `{"setWallpaper":true}`, LaunchConfigSettings{HandleUserData: ptr(true), SetComputerName: ptr(false)}},
	{"a missing password is not missed", `{ "setWallpaper": true }`, LaunchConfigSettings{Password: &Password{Mode: Random}}},
	{"an empty file gets keys", "{}", LaunchConfigSettings{HandleUserData: ptr(true), SetWallpaper: ptr(false)}},
	{"odd spacing stays", "{ \"setWallpaper\" :true   ,\n\n\n   \"adminPassword\":  \"\"   , \"handleUserData\"\n:\ntrue}", LaunchConfigSettings{SetWallpaper: ptr(false), HandleUserData: ptr(false), SetMonitorAlwaysOn: ptr(true), Password: &Password{Mode: Keep}}},
}

func TestEditsOfLaunchConfig(t *testing.T) {
	var b strings.Builder
	for _, tt := range launchEdits {
		for _, crlf := range []bool{false, true} {
			text := tt.text
			if crlf {
				text = "\xef\xbb\xbf" + strings.ReplaceAll(text, "\n", "\r\n")
			}
			f := mustParseLaunch(t, text)
			before := errorIDs(f.Check())
			if err := f.Apply(tt.do); err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			if !crlf {
				fmt.Fprintf(&b, "== %s\n%s\n", tt.name, strings.TrimSuffix(string(f.Bytes()), "\n"))
			} else if strings.Contains(text, "\n") && strings.Count(string(f.Bytes()), "\n") != strings.Count(string(f.Bytes()), "\r\n") || !bytes.HasPrefix(f.Bytes(), []byte("\xef\xbb\xbf{")) {
				t.Errorf("%s: a line end or the byte order mark has changed: %q", tt.name, f.Bytes())
			}
			for _, id := range errorIDs(f.Check()) {
				if !slices.Contains(before, id) {
					t.Errorf("%s: the edit made an error: %s", tt.name, id)
				}
			}
			again := mustParseLaunch(t, string(f.Bytes()))
			if err := again.Apply(tt.do); err != nil || !bytes.Equal(again.Bytes(), f.Bytes()) {
				t.Errorf("%s: applying the same settings again changes the file (%v):\n%s", tt.name, err, cmp.Diff(string(f.Bytes()), string(again.Bytes())))
			}
		}
	}
	golden(t, "launch-config-edits.golden", b.String())
}

func TestApplyToLaunchConfigRefuses(t *testing.T) {
	tests := map[string]struct {
		text string
		do   LaunchConfigSettings
		want string
	}{
		"a file that is a list":     {"[]", LaunchConfigSettings{SetWallpaper: ptr(true)}, "the file is a list and must be an object"},
		"a key that stands twice":   {"{\"setWallpaper\": 1,\n\"SetWallpaper\": 2}", LaunchConfigSettings{SetComputerName: ptr(true), SetWallpaper: ptr(true)}, "the key setWallpaper stands twice, on the lines 1 and 2"},
		"a password that is weak":   {launch(), LaunchConfigSettings{Password: &Password{Specify, "hunter2"}}, "administrator_password.value: the password has fewer than 8"},
		"a mode that nobody knows":  {launch(), LaunchConfigSettings{Password: &Password{Mode: "hide"}}, `administrator_password.mode: "hide"`},
		"the last of many settings": {launch(`"adminPassword": ""`, `"adminPassword": "", "ADMINPASSWORD": "hunter2"`), LaunchConfigSettings{SetWallpaper: ptr(false), Password: &Password{Mode: Keep}}, "the key adminPassword stands twice"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := mustParseLaunch(t, tt.text)
			err := f.Apply(tt.do)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "LaunchConfig.json: ") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if string(f.Bytes()) != tt.text {
				t.Error("the file has changed in spite of the error")
			}
		})
	}
}

func TestValuesOfLaunchConfig(t *testing.T) {
	f := mustParseLaunch(t, `{"SETWALLPAPER": true, "adminPasswordType": "Random", "handleUserData": 1, "setComputerName": 0.0, "adminPassword": null, "x": []}`)
	for key, want := range map[string]string{"setWallpaper": "true", "AdminPasswordType": "Random", "handleuserdata": "true", "setcomputername": "false"} {
		if got, ok := f.Value(key); !ok || got != want {
			t.Errorf("%s = %q, %v", key, got, ok)
		}
	}
	for _, key := range []string{"adminPassword", "x", "setMonitorAlwaysOn"} {
		if got, ok := f.Value(key); ok {
			t.Errorf("%s = %q", key, got)
		}
	}
}

func TestLaunchConfigHoldsASecretWhenAPasswordIsReadable(t *testing.T) {
	tests := map[string]struct {
		text string
		want bool
	}{
		"none":                          {launch(), false},
		"a password":                    {launch(`""`, `"hunter2"`), true},
		"a password that is a number":   {launch(`""`, "12345678"), true},
		"an encrypted one":              {launch("Random", "encrypted", `""`, `"hunter2"`), false},
		"one in place of the type":      {launch("Random", "hunter2"), true},
		"one under a misspelled key":    {launch(`"adminPassword": ""`, `"adminPasword": "hunter2"`), true},
		"a flag that nobody knows":      {launch(`"adminPassword": ""`, `"telemetry": true`), false},
		"something that is no settings": {`["hunter2"]`, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := mustParseLaunch(t, tt.text)
			if got := f.HoldsSecret(); got != tt.want {
				t.Errorf("HoldsSecret = %v", got)
			}
			if bytes.Contains(f.Redacted(), []byte("hunter2")) {
				t.Errorf("redacted:\n%s", f.Redacted())
			}
		})
	}
}

func TestLaunchConfigThatPowerShellCannotReadIsAnError(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"a trailing comma": {launch(`"adminPassword": ""`, `"adminPassword": "",`), "LaunchConfig.json:9:22: a comma before '}' is not allowed; remove it"},
		"a comment":        {launch(`"setWallpaper"`, `// "setWallpaper"`), "LaunchConfig.json:4:3: JSON has no comments; remove it"},
		"nothing":          {"", "LaunchConfig.json:1:1: the file is empty"},
		"ANSI":             {"{\"adminPassword\": \"h\xfcnter2\"}", "LaunchConfig.json:1:21: byte 0xfc is not UTF-8; save the file as UTF-8"},
	} {
		if _, err := ParseLaunchConfig("LaunchConfig.json", []byte(tt.text)); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
