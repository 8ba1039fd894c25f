package image

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
)

var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// codeOf is the code of a failure, or "".
func codeOf(err error) string {
	var failure *Failure
	if errors.As(err, &failure) {
		return failure.Code
	}
	return ""
}

func TestAJournalComesBackAsItWasWritten(t *testing.T) {
	path := JournalPath(t.TempDir(), "123456789012", region, "i-0123456789abcdef0")
	journal, err := OpenJournal(path, "123456789012", region, "i-0123456789abcdef0", "token")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		journal.proven(noon, handoff.Proof{Kind: handoff.ProofSeen, SeenAt: noon}),
		journal.asking(noon, "name"),
		journal.made(noon, "ami-1", ""),
		journal.verified(noon, []string{"snap-1"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	again, err := OpenJournal(path, "123456789012", region, "i-0123456789abcdef0", "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(journal, again, cmpopts.IgnoreUnexported(Journal{})); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the journal has mode %v", info.Mode().Perm())
	}
}

func TestAJournalWithoutARecordHasATokenOfItsOwn(t *testing.T) {
	open := func() *Journal {
		journal, err := OpenJournal(filepath.Join(t.TempDir(), "j"), "1", region, "i-1", "")
		if err != nil {
			t.Fatal(err)
		}
		return journal
	}
	if a, b := open(), open(); a.Token == "" || a.Token == b.Token {
		t.Errorf("the tokens are %q and %q", a.Token, b.Token)
	}
}

func TestOpenJournalRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"text that is no JSON", "hello", "can not be read"},
		{"another version", `{"version":2}`, "version is 2"},
		{"a field that nobody knows", `{"version":1,"region":"eu-central-1","instance_id":"i-1","token":"t","also":1}`, `unknown field "also"`},
		{"no token", `{"version":1,"region":"eu-central-1","instance_id":"i-1"}`, "token"},
		{"another instance's", `{"version":1,"region":"eu-central-1","instance_id":"i-2","token":"t"}`, "instance i-2"},
		{"another region's", `{"version":1,"region":"eu-west-1","instance_id":"i-1","token":"t"}`, "eu-west-1"},
		{"another account's", `{"version":1,"region":"eu-central-1","instance_id":"i-1","token":"t","account_id":"2"}`, "account 2"},
		{"another seal's whose AMI is not done", `{"version":1,"region":"eu-central-1","instance_id":"i-1","token":"old","asked_at":"2026-03-14T12:00:00Z","image_id":"ami-9"}`, "ami-9"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.json")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := OpenJournal(path, "1", region, "i-1", "t")
			if codeOf(err) != CodeJournal || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "journal_path: "+path) {
				t.Errorf("got %v, want %s with %q and the path", err, CodeJournal, test.want)
			}
		})
	}
}

func TestAJournalThatCanNotBeWrittenEndsTheWork(t *testing.T) {
	folder := t.TempDir()
	journal, err := OpenJournal(filepath.Join(folder, "file", "journal.json"), "1", region, "i-1", "t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := journal.asking(noon, "name"); codeOf(err) != CodeJournal {
		t.Errorf("got %v", err)
	}
}

func FuzzDecodeJournal(f *testing.F) {
	f.Add([]byte(`{"version":1,"region":"eu-central-1","instance_id":"i-1","token":"t"}`))
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		journal, err := decodeJournal(data)
		if err == nil && (journal.InstanceID == "" || journal.Token == "" || journal.Version != journalVersion) {
			t.Errorf("a journal without identity was read: %+v", journal)
		}
	})
}
