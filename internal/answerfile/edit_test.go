package answerfile

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func ptr[T any](v T) *T { return &v }

// shippedFile reads one of the files that resemble what the agents ship.
func shippedFile(t testing.TB, name string) *File {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "shipped", name))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse(name, data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustParse(t testing.TB, text string) *File {
	t.Helper()
	f, err := Parse("unattend.xml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// everySetting has a value for every setting.
func everySetting() Settings {
	return Settings{
		CopyProfile:                   ptr(false),
		TimeZone:                      ptr("W. Europe Standard Time"),
		InputLocale:                   ptr("0407:00000407"),
		SystemLocale:                  ptr("de-DE"),
		UILanguage:                    ptr("de-DE"),
		UserLocale:                    ptr("de-CH"),
		RegisteredOrganization:        ptr("Müller & Söhne <GmbH>"),
		RegisteredOwner:               ptr("IT"),
		PersistAllDeviceInstalls:      ptr(false),
		DoNotCleanUpNonPresentDevices: ptr(false),
		HideEULAPage:                  ptr(true),
		HideWirelessSetupInOOBE:       ptr(true),
		ProtectYourPC:                 ptr(1),
		NetworkLocation:               ptr("Work"),
		BluetoothTaskbarIconEnabled:   ptr(true),
		ComputerName:                  ptr("GOLDEN-1"),
		ProductKey:                    ptr("AAAAA-BBBBB-CCCCC-DDDDD-EEEEE"),
		AdministratorPassword:         ptr("S3cret & <ü>"),
		RunSynchronous: []Command{
			{Description: "Say hello", Path: `cmd.exe /c echo "hello" > C:\hello.txt`, WillReboot: RebootNever},
			{Path: `C:\after.cmd`, Order: 77},
		},
	}
}

// applyAndReadBack applies the settings and checks that the result is an
// answer file that holds them.
func applyAndReadBack(t *testing.T, f *File, s Settings) {
	t.Helper()
	before := f.Bytes()
	commands := len(f.RunSynchronous())
	err := f.Apply(s)
	if err != nil {
		if !bytes.Equal(f.Bytes(), before) {
			t.Error("the file has changed in spite of the error")
		}
		t.Skipf("not applicable: %v", err)
	}
	again, err := Parse(f.Name(), f.Bytes())
	if err != nil {
		t.Fatalf("the edited file is broken: %v\n%s", err, f.Text())
	}
	for _, row := range settings {
		want, ok := row.get(&s)
		if !ok {
			continue
		}
		if got, ok := again.Value(row.option); !ok || got != want && !strings.EqualFold(got, want) {
			t.Errorf("%s = %q, %v; want %q", row.option, got, ok, want)
		}
	}
	if s.AdministratorPassword != nil {
		v, _ := again.Lookup("oobeSystem", shellSetup, "UserAccounts", "AdministratorPassword", "Value")
		plain, _ := again.Lookup("oobeSystem", shellSetup, "UserAccounts", "AdministratorPassword", "PlainText")
		if got, ok := decodePassword(v); !ok || got != *s.AdministratorPassword || plain != "false" {
			t.Errorf("the password reads back as %q, %v, PlainText %s", got, ok, plain)
		}
	}
	got := again.RunSynchronous()
	if len(got) != commands+len(s.RunSynchronous) {
		t.Errorf("%d commands, want %d more than %d", len(got), len(s.RunSynchronous), commands)
	}
	for _, want := range s.RunSynchronous {
		if !slices.ContainsFunc(got, func(c Command) bool {
			return c.Path == want.Path && c.Description == want.Description && c.WillReboot == want.WillReboot && (want.Order == 0 || c.Order == want.Order)
		}) {
			t.Errorf("the command %+v is missing in %+v", want, got)
		}
	}
	// A second time changes nothing: every value is there.
	s.RunSynchronous = nil
	once := again.Bytes()
	if err := again.Apply(s); err != nil || !bytes.Equal(once, again.Bytes()) {
		t.Errorf("applying the same settings again changes the file (%v)", err)
	}
}

func TestTheAgentsFilesTakeEverySetting(t *testing.T) {
	for _, name := range []string{"ec2launch-v2.xml", "ec2launch-v1.xml", "ec2config.xml"} {
		t.Run(name, func(t *testing.T) { applyAndReadBack(t, shippedFile(t, name), everySetting()) })
	}
}

// edits are edits of small files, with the whole result in the golden file.
var edits = []struct {
	name string
	text string
	do   Settings
}{
	{"one value is replaced and nothing else", small, Settings{TimeZone: ptr("Tokyo Standard Time")}},
	{"a value that is there already changes nothing", strings.Replace(small, "<TimeZone>", "<CopyProfile>True</CopyProfile><TimeZone>", 1), Settings{CopyProfile: ptr(true)}},
	{"an element is added behind the last one", small, Settings{ComputerName: ptr("*")}},
	{"an element is added on the same line where the file has it so", strings.Replace(small, "<TimeZone>", "<ComputerName>*</ComputerName><TimeZone>", 1), Settings{CopyProfile: ptr(false)}},
	{"an empty element gets its value", strings.Replace(small, "<TimeZone>UTC</TimeZone>", "<CopyProfile x=\"1\" />", 1), Settings{CopyProfile: ptr(false)}},
	{"comments in and around a value stay", strings.Replace(small, "UTC", "<!-- why -->UTC<!-- because -->", 1), Settings{TimeZone: ptr("x")}},
	{"a component is added in the manner of its neighbour", small, Settings{RunSynchronous: []Command{{Path: "one"}, {Path: "two", Description: "second", WillReboot: RebootAlways}}}},
	{"passes are added where Windows runs them", small, Settings{PersistAllDeviceInstalls: ptr(true), UserLocale: ptr("en-GB")}},
	{"cpi:offlineImage stays the last", strings.Replace(small, "</unattend>", "  <cpi:offlineImage cpi:source=\"x\" xmlns:cpi=\"urn:schemas-microsoft-com:cpi\" />\n</unattend>", 1), Settings{HideEULAPage: ptr(true)}},
	{"an empty file gets everything", `<unattend xmlns="urn:schemas-microsoft-com:unattend" />`, Settings{CopyProfile: ptr(true)}},
	{"an empty file with lines gets everything", "<?xml version=\"1.0\"?>\n<unattend xmlns=\"urn:schemas-microsoft-com:unattend\">\n</unattend>\n", Settings{CopyProfile: ptr(true), ProtectYourPC: ptr(3)}},
	{"an offlineImage alone stays the last", "<unattend xmlns=\"urn:schemas-microsoft-com:unattend\">\n\t<cpi:offlineImage xmlns:cpi=\"urn:schemas-microsoft-com:cpi\"/>\n</unattend>\n", Settings{CopyProfile: ptr(true)}},
	{"attributes on lines of their own are copied so", "<unattend xmlns=\"urn:schemas-microsoft-com:unattend\">\n\t<settings pass=\"generalize\">\n\t\t<component\n\t\t\tname=\"Microsoft-Windows-PnpSysprep\"\n\t\t\tprocessorArchitecture=\"amd64\"\n\t\t\tpublicKeyToken=\"31bf3856ad364e35\"\n\t\t\tlanguage=\"neutral\"\n\t\t\tversionScope=\"nonSxS\"\n\t\t\txmlns:wcm=\"http://schemas.microsoft.com/WMIConfig/2002/State\"/>\n\t</settings>\n</unattend>", Settings{TimeZone: ptr("UTC"), PersistAllDeviceInstalls: ptr(true)}},
	{"a prefix of the whole file is kept", "<u:unattend xmlns:u=\"urn:schemas-microsoft-com:unattend\">\n  <u:settings pass=\"specialize\"/>\n</u:unattend>", Settings{CopyProfile: ptr(true), RunSynchronous: []Command{{Path: "x"}}}},
	{"a list item declares wcm where nobody has", strings.Replace(strings.Replace(small, ` xmlns:wcm="http://schemas.microsoft.com/WMIConfig/2002/State"`, "", 1), shellSetup, deployment, 1), Settings{RunSynchronous: []Command{{Path: "x"}}}},
	{"another prefix for wcm is used", strings.Replace(strings.ReplaceAll(small, "xmlns:wcm", "xmlns:w"), shellSetup, deployment, 1), Settings{RunSynchronous: []Command{{Path: "x"}}}},
	{"the component of the right architecture is edited", strings.Replace(small, "    <component", "    <component name=\"Microsoft-Windows-Shell-Setup\" processorArchitecture=\"x86\"><TimeZone>UTC</TimeZone></component>\n    <component", 1), Settings{ComputerName: ptr("A")}},
	{"what is not ASCII is written as a reference", small, Settings{RegisteredOwner: ptr("Жук & <Sons>")}},
	{"a password is written encoded", small, Settings{AdministratorPassword: ptr("hunter2")}},
	{"the specialize copy of a value follows", strings.Replace(small, "UTC</TimeZone>", "UTC</TimeZone>\n      <RegisteredOwner>EC2</RegisteredOwner>", 1), Settings{RegisteredOwner: ptr("me")}},
}

func TestEditsChangeOnlyWhatTheyMust(t *testing.T) {
	var b strings.Builder
	for _, tt := range edits {
		for _, crlf := range []bool{false, true} {
			text := tt.text
			if crlf {
				text = strings.ReplaceAll(text, "\n", "\r\n")
			}
			f := mustParse(t, text)
			if err := f.Apply(tt.do); err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			if !crlf {
				b.WriteString("== " + tt.name + "\n" + strings.TrimSuffix(f.Text(), "\n") + "\n")
				continue
			}
			if strings.Contains(text, "\n") && strings.Count(f.Text(), "\n") != strings.Count(f.Text(), "\r\n") {
				t.Errorf("%s: a line end is not CR LF: %q", tt.name, f.Text())
			}
		}
	}
	golden(t, "edits.golden", b.String())
}

func TestApplyRefuses(t *testing.T) {
	long := strings.Repeat("x", 260)
	tests := map[string]struct {
		text string
		do   Settings
		want string
	}{
		"a file of another kind":          {"<a/>", Settings{CopyProfile: ptr(true)}, "the root element is not <unattend>"},
		"a file without namespace":        {"<unattend/>", Settings{CopyProfile: ptr(true)}, "the root element is not <unattend>"},
		"a setting that stands twice":     {strings.Replace(small, "<TimeZone>", "<TimeZone/>\n<TimeZone>", 1), Settings{TimeZone: ptr("x")}, "setting time_zone: <TimeZone> stands twice, in the lines 5 and 6"},
		"a value that holds elements":     {strings.Replace(small, "UTC", "<A/>", 1), Settings{TimeZone: ptr("x")}, "setting time_zone: <TimeZone> of line 5 holds other elements"},
		"a place that holds text":         {strings.Replace(small, "<TimeZone>UTC</TimeZone>", "oops", 1), Settings{ComputerName: ptr("A")}, "<component> of line 4 holds text"},
		"a bad time zone":                 {small, Settings{TimeZone: ptr(" UTC")}, `time_zone: " UTC" must not be empty`},
		"a bad locale":                    {small, Settings{UILanguage: ptr("English")}, `ui_language: "English" is no language tag`},
		"a bad keyboard":                  {small, Settings{InputLocale: ptr("en-US;409")}, `input_locale: "409" is neither`},
		"a bad place in the network":      {small, Settings{NetworkLocation: ptr("home")}, `network_location: "home" is not one of Home, Work, Other`},
		"a bad protection":                {small, Settings{ProtectYourPC: ptr(4)}, `protect_your_pc: "4" is not one of 1, 2, 3`},
		"a computer name with a space":    {small, Settings{ComputerName: ptr("MY PC")}, `computer_name: "MY PC" holds a character`},
		"a computer name of digits":       {small, Settings{ComputerName: ptr("123")}, `computer_name: "123" must not be digits only`},
		"an empty computer name":          {small, Settings{ComputerName: ptr("")}, `computer_name: "" must have 1 to 15 characters`},
		"a bad product key":               {small, Settings{ProductKey: ptr("hunter2")}, "product_key: the value does not have the form"},
		"an empty password":               {small, Settings{AdministratorPassword: ptr("")}, "administrator_password: the password is empty"},
		"a password that is too long":     {small, Settings{AdministratorPassword: ptr(long)}, "administrator_password: the password has more than 127 characters"},
		"a password with a control":       {small, Settings{AdministratorPassword: ptr("a\nb")}, "administrator_password: the password holds a control character"},
		"an owner with a control":         {small, Settings{RegisteredOwner: ptr("a\x01b")}, "registered_owner: the value holds the character U+0001"},
		"an organization that is longer":  {small, Settings{RegisteredOrganization: ptr(long)}, "registered_organization: the value has 260 characters"},
		"a command that is too long":      {small, Settings{RunSynchronous: []Command{{Path: long}}}, "run_synchronous 1: the command has 260 characters, and Windows allows 259"},
		"an empty command":                {small, Settings{RunSynchronous: []Command{{Path: "a"}, {}}}, "run_synchronous 2: the command is empty"},
		"a bad order":                     {small, Settings{RunSynchronous: []Command{{Path: "a", Order: 501}}}, "run_synchronous 1: the order 501"},
		"a bad reboot":                    {small, Settings{RunSynchronous: []Command{{Path: "a", WillReboot: "x"}}}, `run_synchronous 1: "x" is not one of Always, Never, OnRequest`},
		"a long description":              {small, Settings{RunSynchronous: []Command{{Path: "a", Description: long}}}, "run_synchronous 1: the description has 260 characters"},
		"an order that is taken":          {small, Settings{RunSynchronous: []Command{{Path: "a", Order: 7}, {Path: "b", Order: 7}}}, "adding the command 2 of run_synchronous: the order 7 is taken already"},
		"an order behind the last of all": {small, Settings{RunSynchronous: []Command{{Path: "a", Order: 500}, {Path: "b"}}}, "adding the command 2 of run_synchronous: the order 501 is above 500"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := mustParse(t, tt.text)
			err := f.Apply(tt.do)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "unattend.xml: ") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a secret: %v", err)
			}
			if f.Text() != tt.text {
				t.Error("the file has changed in spite of the error")
			}
		})
	}
}

func TestEveryWrongValueIsReportedAtOnce(t *testing.T) {
	errs := Settings{TimeZone: ptr(""), ProtectYourPC: ptr(9), UILanguage: ptr("?")}.Validate()
	if len(errs) != 3 {
		t.Errorf("got %v", errs)
	}
}

func TestDroppingThePasswordScrambleLeavesTheOtherCommands(t *testing.T) {
	tests := map[string]struct {
		dropped int
		left    string
	}{
		"ec2launch-v2.xml": {1, "1 net user"},
		"ec2launch-v1.xml": {1, "2 \"C:\\ProgramData"},
		"ec2config.xml":    {1, "1 net user 3 \"C:\\Program"},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			f := shippedFile(t, name)
			dropped, err := f.DropPasswordScramble()
			if err != nil || len(dropped) != want.dropped {
				t.Fatalf("dropped %v, %v", dropped, err)
			}
			var left []string
			for _, c := range f.RunSynchronous() {
				words := strings.Fields(c.Path)
				left = append(left, string(rune('0'+c.Order)), words[0])
				if words[0] == "net" {
					left = append(left, words[1])
				}
			}
			if got := strings.Join(left, " "); !strings.HasPrefix(got, want.left) {
				t.Errorf("left %q, want %q", got, want.left)
			}
			if f.ScramblesPassword() || strings.Contains(f.Text(), "\n\n") || strings.Contains(f.Text(), "> \n") {
				t.Errorf("not a clean cut:\n%s", f.Text())
			}
			if again, err := Parse(name, f.Bytes()); err != nil || len(findings(t, again, CheckOptions{})) != 0 {
				t.Errorf("the file is not in order any more: %v", err)
			}
		})
	}
}

func TestAnEmptyCommandThatIsNotTheFirstStays(t *testing.T) {
	f := mustParse(t, in("specialize", deployment, command("2", "")))
	if dropped, err := f.DropPasswordScramble(); err != nil || len(dropped) != 0 {
		t.Errorf("dropped %v, %v", dropped, err)
	}
}

func TestStrippingWasPassProcessed(t *testing.T) {
	text := strings.Replace(small, `pass="specialize"`, "pass=\"specialize\"\n\t wasPassProcessed='true'", 1)
	f := mustParse(t, strings.Replace(text, "</unattend>", `<settings wasPassProcessed="true" pass="oobeSystem"/></unattend>`, 1))
	n, err := f.StripPassProcessed()
	want := strings.Replace(small, "</unattend>", `<settings pass="oobeSystem"/></unattend>`, 1)
	if err != nil || n != 2 || f.Text() != want {
		t.Errorf("%d, %v:\n%s", n, err, f.Text())
	}
	if n, err := f.StripPassProcessed(); n != 0 || err != nil {
		t.Errorf("a second time: %d, %v", n, err)
	}
}

// TestThePasswordIsEncodedAsWindowsDoes holds values that anybody can compute:
// printf 'aAdministratorPassword' | iconv -t UTF-16LE | base64.
func TestThePasswordIsEncodedAsWindowsDoes(t *testing.T) {
	const want = "YQBBAGQAbQBpAG4AaQBzAHQAcgBhAHQAbwByAFAAYQBzAHMAdwBvAHIAZAA="
	if got := encodePassword("a", administratorSuffix); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, p := range []string{"a", "ü€𝄞", strings.Repeat("x", 127)} {
		if got, ok := decodePassword(encodePassword(p, administratorSuffix)); !ok || got != p {
			t.Errorf("%q reads back as %q, %v", p, got, ok)
		}
	}
	for _, bad := range []string{"", "hunter2", "YQ==", "YQBi"} {
		if _, ok := decodePassword(bad); ok {
			t.Errorf("%q is taken for an encoded password", bad)
		}
	}
}

func TestValueAndOptionsKnowTheSameNames(t *testing.T) {
	f := shippedFile(t, "ec2config.xml")
	if v, ok := f.Value("copy_profile"); !ok || v != "true" {
		t.Errorf("copy_profile = %q, %v", v, ok)
	}
	if v, ok := f.Value("registered_owner"); !ok || v != "Amazon" {
		t.Errorf("registered_owner = %q, %v", v, ok)
	}
	if _, ok := f.Value("computer_name"); ok {
		t.Error("a computer name was read out of a comment")
	}
	if _, ok := f.Value("nonsense"); ok {
		t.Error("an option that nobody knows has a value")
	}
	for _, o := range Options() {
		if _, ok := shippedFile(t, "ec2launch-v2.xml").Value(o); !ok && !slices.Contains([]string{"product_key", "network_location"}, o) {
			t.Errorf("%s has no value in EC2Launch v2's file", o)
		}
	}
	if _, ok := f.Lookup("specialize", deployment, "RunSynchronous"); ok {
		t.Error("a list was read as a value")
	}
}

func TestAPasswordIsWrittenAsItIsForEC2Config(t *testing.T) {
	f := shippedFile(t, "ec2config.xml")
	if f.SetsAdministratorPassword() {
		t.Error("the agent's own file is said to set a password")
	}
	s := Settings{AdministratorPassword: ptr(`a & b <c> "D1"`), PlainTextPassword: true}
	if err := f.Apply(s); err != nil {
		t.Fatal(err)
	}
	again := mustParse(t, f.Text())
	value, _ := again.Lookup("oobeSystem", shellSetup, "UserAccounts", "AdministratorPassword", "Value")
	plain, _ := again.Lookup("oobeSystem", shellSetup, "UserAccounts", "AdministratorPassword", "PlainText")
	if value != *s.AdministratorPassword || plain != "true" || !again.SetsAdministratorPassword() || !again.HoldsSecret() {
		t.Errorf("the password reads back as %q, PlainText %s", value, plain)
	}
	s.PlainTextPassword = false
	if err := again.Apply(s); err != nil {
		t.Fatal(err)
	}
	if value, _ := again.Lookup("oobeSystem", shellSetup, "UserAccounts", "AdministratorPassword", "Value"); value == *s.AdministratorPassword {
		t.Error("the password stays as it is although it is to be encoded")
	}
}

func TestWhoOpensRemoteDesktopAgain(t *testing.T) {
	for name, want := range map[string][2]bool{
		"ec2launch-v2.xml": {true, false},
		"ec2launch-v1.xml": {true, true},
		"ec2config.xml":    {false, true},
	} {
		itself, byScript := shippedFile(t, name).OpensRDP()
		if got := [2]bool{itself, byScript}; got != want {
			t.Errorf("%s: itself, by script = %v, want %v", name, got, want)
		}
	}
}
