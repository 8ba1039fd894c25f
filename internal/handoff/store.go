package handoff

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// maxSize is the size in bytes beyond which a file is not taken for a record.
const maxSize = 8 << 20

// Folder is the folder of this plugin inside Packer's cache folder.
const Folder = "ec2-sysprep"

// Path returns where the record of one build lies in Packer's cache folder:
// PACKER_RUN_UUID, the builder's type and the source's name together name one
// build of one run, and both components know all three.
func Path(cacheDir, runUUID, builderType, sourceName string) string {
	name := strings.Join([]string{fileWord(runUUID), fileWord(builderType), fileWord(sourceName)}, "_")
	return filepath.Join(cacheDir, Folder, "record_"+name+".json")
}

// fileWord makes a word fit for a file's name on every system. Words that it
// has to change stay different from each other: each changed byte is spelt out.
func fileWord(word string) string {
	if word == "" {
		return "-"
	}
	var b strings.Builder
	for i := range len(word) {
		switch c := word[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

// Store is the places at which one build's record lies.
type Store struct {
	// CachePath is the place in Packer's cache folder, see Path. Empty: none.
	CachePath string
	// RecordPath is the user's own place, the option record_path. Empty: none.
	RecordPath string
}

// StoreOf returns the places of this run's record of a build, by which both
// components find the same one. recordPath is the option record_path. Outside a
// run of Packer's there is no place in its cache folder.
func StoreOf(recordPath, builderType, sourceName string) (Store, error) {
	store := Store{RecordPath: recordPath}
	if run := os.Getenv("PACKER_RUN_UUID"); run != "" {
		cache, err := packersdk.CachePath()
		if err != nil {
			return Store{}, fmt.Errorf("finding Packer's cache folder: %w", err)
		}
		store.CachePath = Path(cache, run, builderType, sourceName)
	}
	return store, nil
}

// Save writes the record to both places, and stamps it with its version and
// with now. It refuses to overwrite a file that holds another instance's
// record, or no record at all; the error names record_path.
func (s Store) Save(record *Record, now time.Time) error {
	places := s.places()
	if len(places) == 0 {
		return errors.New("saving the record: neither record_path nor Packer's cache folder is known")
	}
	for _, path := range places {
		if err := s.mayWrite(path, record); err != nil {
			return err
		}
	}
	record.Version = Version
	record.UpdatedAt = now.UTC().Round(0)
	data, err := Encode(record)
	if err != nil {
		return err
	}
	for _, path := range places {
		if err := WriteFile(path, data); err != nil {
			return fmt.Errorf("saving the record: %w", err)
		}
	}
	return nil
}

// Load reads the record: from record_path if there is one, or else from
// Packer's cache folder. Where both places hold a record, they must hold the
// same build's. The error is fs.ErrNotExist when no place holds one.
func (s Store) Load() (*Record, error) {
	var found *Record
	var foundAt string
	for _, path := range s.places() {
		record, err := Read(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if found == nil {
			found, foundAt = record, path
			continue
		}
		if found.Token != record.Token {
			return nil, fmt.Errorf("record_path: %s holds the record of another build (instance %s) than %s (instance %s); give the right record_path, or remove the file that is out of date",
				foundAt, orUnknown(found.InstanceID), path, orUnknown(record.InstanceID))
		}
		if record.UpdatedAt.After(found.UpdatedAt) {
			found, foundAt = record, path
		}
	}
	if found == nil {
		return nil, fmt.Errorf("no record at %s: %w", strings.Join(s.places(), " or "), fs.ErrNotExist)
	}
	return found, nil
}

// Place returns the path under which a user finds the record: record_path, or
// else the one in Packer's cache folder.
func (s Store) Place() string {
	if places := s.places(); len(places) > 0 {
		return places[0]
	}
	return ""
}

// places lists the store's paths, the user's own first.
func (s Store) places() []string {
	var places []string
	for _, path := range []string{s.RecordPath, s.CachePath} {
		if path != "" && (len(places) == 0 || places[0] != path) {
			places = append(places, path)
		}
	}
	return places
}

// mayWrite says whether the file at path may be replaced by the record.
func (s Store) mayWrite(path string, record *Record) error {
	old, err := Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("record_path: the file there would be overwritten, but it is not a record of this plugin; choose another record_path or remove it: %w", err)
	case old.InstanceID != "" && record.InstanceID != "" && old.InstanceID != record.InstanceID:
		return fmt.Errorf("record_path: %s already holds the record of instance %s, and this build works on %s; give each build a record_path of its own, or remove the file",
			path, old.InstanceID, record.InstanceID)
	}
	return nil
}

// Encode returns the record's file content.
func Encode(record *Record) ([]byte, error) {
	data, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the record: %w", err)
	}
	return append(data, '\n'), nil
}

// Read reads the record at path. The error is fs.ErrNotExist when nothing
// lies there, and says what is wrong with the file otherwise.
func Read(path string) (*Record, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the record: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the record %s: %w", path, err)
	}
	record, err := Decode(data)
	if err != nil {
		return nil, fmt.Errorf("reading the record %s: %w", path, err)
	}
	return record, nil
}

// Decode reads a record's file content. It is strict: another version, a
// field that nobody knows, an unknown stage or kind of proof, a missing token
// or text behind the record's end is an error, because a record that is half
// understood would prove nothing.
func Decode(data []byte) (*Record, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("the file is longer than %d bytes, no record is", maxSize)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("the file is not a record: %w", err)
	}
	if head.Version != Version {
		return nil, fmt.Errorf("the record has version %d, this plugin reads version %d; provisioner and post-processor must come from the same version of the plugin", head.Version, Version)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	record := new(Record)
	if err := decoder.Decode(record); err != nil {
		return nil, fmt.Errorf("the record can not be understood: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the record is followed by other text")
	}
	if err := record.check(); err != nil {
		return nil, err
	}
	return record, nil
}

// check says what a record of this version must hold and this one does not.
func (r *Record) check() error {
	if r.Token == "" {
		return errors.New("the record has no token")
	}
	switch r.Stage {
	case StagePlanned, StageStaged, StageTriggered, StageSealerConfirmed, StageSealed, StageShutdown, StageRefused:
	default:
		return fmt.Errorf("the record's stage %q is unknown", r.Stage)
	}
	if r.Proof == nil {
		return nil
	}
	switch r.Proof.Kind {
	case ProofSeen, ProofConsole, ProofByShutdown, ProofNotGeneralized:
		return nil
	default:
		return fmt.Errorf("the record's kind of proof %q is unknown", r.Proof.Kind)
	}
}

// Mark appends a moment to the timeline: the phase, the image state that
// Windows showed then (empty when nobody asked) and a note.
func (r *Record) Mark(now time.Time, phase, imageState, note string) {
	r.Timeline = append(r.Timeline, Moment{At: now.UTC().Round(0), Phase: phase, ImageState: imageState, Note: note})
}

// orUnknown is an id, or a word for its absence.
func orUnknown(id string) string {
	if id == "" {
		return "unknown"
	}
	return id
}
