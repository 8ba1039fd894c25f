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
		if got, ok := decodePassword(v, administratorSuffix); !ok || got != *s.AdministratorPassword || plain != "false" {
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
