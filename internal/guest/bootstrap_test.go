package guest

import (
	"strings"
	"testing"
)

// maxCommand is how long a command line of cmd.exe's may be, in characters.
const maxCommand = 8191

func TestCommandLinesAreKnownAgain(t *testing.T) {
	file, arguments := Starter(`C:\ProgramData\it's a "folder"`, `C:\Windows`)
	for name, test := range map[string]struct {
		line     string
		kind     CommandKind
		argument string
	}{
		"the bootstrap":                              {Bootstrap(), CommandBootstrap, ""},
		"the bootstrap from a file":                  {BootstrapFromFile(`C:\Windows\Temp\a.txt`), CommandBootstrapFile, `C:\Windows\Temp\a.txt`},
		"the bootstrap from a file with a quote":     {BootstrapFromFile(`C:\o'neill\a.txt`), CommandBootstrapFile, `C:\o'neill\a.txt`},
		"the sealer":                                 {file + " " + arguments, CommandSealer, `C:\ProgramData\it's a "folder"`},
		"another text":                               {powershellCommand("Get-Date"), CommandForeign, ""},
		"another command":                            {"ipconfig /all", CommandForeign, ""},
		"a text that is no base64":                   {"powershell.exe -EncodedCommand !!!", CommandForeign, ""},
		"a text with an odd number of bytes":         {"powershell.exe -EncodedCommand YQ==", CommandForeign, ""},
		"the bootstrap with something else in front": {powershellCommand("Get-Date\n" + bootstrapText), CommandForeign, ""},
	} {
		t.Run(name, func(t *testing.T) {
			kind, argument := ReadCommand(test.line)
			if kind != test.kind || argument != test.argument {
				t.Errorf("kind %d, argument %q", kind, argument)
			}
			if len(test.line) >= maxCommand {
				t.Errorf("%d characters", len(test.line))
			}
		})
	}
}

func TestTextsArePlain(t *testing.T) {
	for name, text := range map[string]string{"guest.ps1": Script, "seal.ps1": SealScript} {
		for i := range len(text) {
			if c := text[i]; c > 0x7e || c < 0x20 && c != '\n' {
				t.Errorf("%s: byte %#x at %d", name, c, i)
				break
			}
		}
		if strings.Contains(text, "\n"+EndOfScript+"\n") {
			t.Errorf("%s holds the line that ends it", name)
		}
	}
	if strings.Contains(strings.ToLower(bootstrapText), "$"+"input") {
		t.Error("the bootstrap makes the host read stdin")
	}
	if preamble := string(Preamble()); !strings.HasSuffix(preamble, "\n"+EndOfScript+"\n") {
		t.Error("the preamble does not end the script")
	}
}

func TestPlainErrors(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"plain text stays":     {"  access denied\r\n", "access denied"},
		"CLIXML is read":       {"#< CLIXML\r\n<Objs Version=\"1.1.0.1\"><S S=\"Error\">a &lt;b&gt; &amp; c_x000D__x000A_</S><S S=\"Error\">d</S></Objs>", "a <b> & c d"},
		"progress is left out": {"#< CLIXML\r\n<Objs Version=\"1.1.0.1\"><Obj S=\"progress\"><S>x</S></Obj></Objs>", ""},
		"nothing":              {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := plainErrors([]byte(test.in)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestPlanHasNoNullInPlaceOfAList(t *testing.T) {
	data, err := SealPlan{Token: "größe 😀"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	if strings.Contains(text, "null") {
		t.Errorf("null in %s", text)
	}
	for _, b := range data {
		if b >= 0x80 {
			t.Fatalf("byte %#x in the plan", b)
		}
	}
	if !strings.Contains(text, `\ud83d\ude00`) {
		t.Errorf("the astral character is no pair of escapes: %s", text)
	}
}
