package handoff

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

func sealed(instance string) *Record {
	return &Record{
		Plugin: "0.1.0", Token: "token-1", Stage: StageSealed, Action: "sysprep", Shutdown: "sealed",
		InstanceID: instance, Region: "eu-central-1",
		Proof: &Proof{Kind: ProofSeen, SeenAt: noon, ImageState: "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE", Tag: true, SysprepEnded: true},
	}
}

func TestARecordComesBackAsItWasSaved(t *testing.T) {
	folder := t.TempDir()
	store := Store{
		CachePath:  Path(folder, "11111111-2222", "null", "windows"),
		RecordPath: filepath.Join(folder, "mine", "record.json"),
	}
	record := sealed("i-0123456789abcdef0")
	record.LaunchTime = noon.Add(-time.Hour)
	record.Limits = Limits{Sysprep: time.Hour, Stall: 15 * time.Minute, Shutdown: 10 * time.Minute}
	record.Mark(noon, "sealed", "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE", "seen on the guest")
	if err := store.Save(record, noon); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{store.CachePath, store.RecordPath} {
		read, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(record, read); diff != "" {
			t.Errorf("%s (-saved +read):\n%s", path, diff)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", path, info.Mode().Perm())
		}
		leftovers, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
		if err != nil || len(leftovers) > 0 {
			t.Errorf("temporary files were left: %v, %v", leftovers, err)
		}
	}
	loaded, err := store.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(record, loaded); diff != "" {
		t.Errorf("Load (-saved +loaded):\n%s", diff)
	}
}

func TestPathsOfDifferentBuildsDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, build := range [][3]string{
		{"uuid", "null", "a"},
		{"uuid", "null", "b"},
		{"uuid", "amazon-ebs", "a"},
		{"other", "null", "a"},
		{"uuid", "null", "a/b"},
		{"uuid", "null", "a_b"},
		{"uuid", "null_a", "b"},
		{"", "", ""},
		{"uuid", "null", "../../etc/passwd"},
	} {
		path := Path("cache", build[0], build[1], build[2])
		if filepath.Dir(path) != filepath.Join("cache", Folder) {
			t.Errorf("%v leaves the folder: %s", build, path)
		}
		if other, taken := seen[path]; taken {
			t.Errorf("%v and %s share %s", build, other, path)
		}
		seen[path] = strings.Join(build[:], "|")
	}
}

func TestSaveRefuses(t *testing.T) {
	tests := []struct {
		name   string
		there  string // content of the file before
		record *Record
		want   string
	}{
		{"a file that holds another instance", string(encoded(t, sealed("i-11111111"))), sealed("i-22222222"), "record_path: "},
		{"a file that is no record", "my precious notes\n", sealed("i-22222222"), "record_path: the file there would be overwritten"},
		{"a record of a later version", `{"version": 2, "token": "x"}`, sealed("i-22222222"), "version 2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "record.json")
			if err := os.WriteFile(path, []byte(test.there), 0o600); err != nil {
				t.Fatal(err)
			}
			err := Store{RecordPath: path}.Save(test.record, noon)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got error %v, want one with %q and the path", err, test.want)
			}
			if after, _ := os.ReadFile(path); string(after) != test.there {
				t.Errorf("the file was changed to %q", after)
			}
		})
	}
	if err := (Store{}).Save(sealed("i-1"), noon); err == nil {
		t.Error("a store without a place saved the record")
	}
}

func TestLoad(t *testing.T) {
	folder := t.TempDir()
	store := Store{CachePath: filepath.Join(folder, "cache.json"), RecordPath: filepath.Join(folder, "mine.json")}
	if _, err := store.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without files: got %v, want fs.ErrNotExist", err)
	}
	write := func(path string, record *Record) {
		t.Helper()
		if err := WriteFile(path, encoded(t, record)); err != nil {
			t.Fatal(err)
		}
	}
	write(store.CachePath, sealed("i-11111111"))
	if record, err := store.Load(); err != nil || record.InstanceID != "i-11111111" {
		t.Errorf("with the cache's file only: got %v, %v", record, err)
	}
	other := sealed("i-22222222")
	other.Token = "token-2"
	write(store.RecordPath, other)
	_, err := store.Load()
	if err == nil || !strings.Contains(err.Error(), "record_path") || !strings.Contains(err.Error(), "i-22222222") {
		t.Errorf("with records of two builds: got %v", err)
	}
	newer := sealed("i-11111111")
	newer.Stage, newer.UpdatedAt = StageShutdown, noon
	write(store.RecordPath, newer)
	if record, err := store.Load(); err != nil || record.Stage != StageShutdown {
		t.Errorf("with two ages of one record: got %v, %v", record, err)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nothing", "", "not a record"},
		{"no JSON", "hello", "not a record"},
		{"no version", "{}", "version 0"},
		{"another version", `{"version":7,"token":"t","stage":"sealed"}`, "version 7"},
		{"a field that nobody knows", `{"version":1,"token":"t","stage":"sealed","limits":{},"agent":{},"windows":{},"sealed":true}`, `unknown field "sealed"`},
		{"no token", `{"version":1,"stage":"sealed"}`, "no token"},
		{"an unknown stage", `{"version":1,"token":"t","stage":"done"}`, `stage "done"`},
		{"an unknown proof", `{"version":1,"token":"t","stage":"sealed","proof":{"kind":"hearsay","seen_at":"2026-03-14T12:00:00Z"}}`, `"hearsay"`},
		{"text behind the end", `{"version":1,"token":"t","stage":"sealed"} {}`, "not a record"},
		{"a cut record", `{"version":1,"token":"t","sta`, "not a record"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			record, err := Decode([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %+v and error %v, want an error with %q", record, err, test.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	record := sealed("i-11111111")
	record.Version = Version
	data, err := Encode(record)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		record, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Encode(record)
		if err != nil {
			t.Skip("a time outside of what JSON can say")
		}
		second, err := Decode(again)
		if err != nil {
			t.Fatalf("what was read can not be read again: %v\n%s", err, again)
		}
		if second.Token != record.Token || second.Stage != record.Stage {
			t.Fatalf("the record changed: %+v, then %+v", record, second)
		}
	})
}

func encoded(t *testing.T, record *Record) []byte {
	t.Helper()
	record.Version = Version
	data, err := Encode(record)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
