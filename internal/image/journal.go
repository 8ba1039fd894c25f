package image

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
)

// journalVersion is the version of the journal's form.
const journalVersion = 1

// Journal is what was done to make the AMI of one instance. Every step is on
// disk before the next one begins. It holds no secret.
type Journal struct {
	Version    int    `json:"version"`
	AccountID  string `json:"account_id,omitempty"`
	Region     string `json:"region"`
	InstanceID string `json:"instance_id"`
	// Token marks the AMI as this journal's. It is the record's, or one of the
	// journal's own where there is no record.
	Token string `json:"token"`

	// StopSeenAt is when the instance was first seen on its way down, and
	// LaunchTime the start that this stop ended.
	StopSeenAt time.Time      `json:"stop_seen_at,omitzero"`
	LaunchTime time.Time      `json:"launch_time,omitzero"`
	Proof      *handoff.Proof `json:"proof,omitempty"`

	// Name is the AMI's name. AskedAt is when EC2 was asked to make it, written
	// before the request; ImageID is EC2's answer.
	Name    string    `json:"ami_name,omitempty"`
	AskedAt time.Time `json:"asked_at,omitzero"`
	ImageID string    `json:"image_id,omitempty"`
	// Failed is why EC2 could not finish the image.
	Failed string `json:"failed,omitempty"`
	// Snapshots are the AMI's snapshots, and DoneAt is when it was verified.
	Snapshots []string  `json:"snapshots,omitempty"`
	DoneAt    time.Time `json:"done_at,omitzero"`

	Steps []Step `json:"steps,omitempty"`

	path string
}

// Step is one line of the journal.
type Step struct {
	At   time.Time `json:"at"`
	Step string    `json:"step"`
	Note string    `json:"note,omitempty"`
}

// JournalPath returns where the journal of an instance lies in Packer's cache
// folder.
func JournalPath(cacheDir, account, region, instance string) string {
	return filepath.Join(cacheDir, handoff.Folder, fmt.Sprintf("journal_%s_%s_%s.json", account, region, instance))
}

// OpenJournal reads the journal at path, or begins one. The token is the
// record's, or "" when there is no record.
//
// A journal of the same instance but of another token is an older seal's. When
// that one's AMI is done, or was never begun, the journal begins anew;
// otherwise it is an error, as is a journal of another instance.
func OpenJournal(path, account, region, instance, token string) (*Journal, error) {
	fresh := &Journal{
		Version: journalVersion, AccountID: account, Region: region, InstanceID: instance,
		Token: token, path: path,
	}
	if fresh.Token == "" {
		fresh.Token = rand.Text()
	}
	journal, err := readJournal(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fresh, nil
	case err != nil:
		return nil, journalFailure(path, "it can not be read", err)
	case journal.InstanceID != instance || journal.Region != region:
		return nil, journalFailure(path, fmt.Sprintf("it is the journal of instance %s in %s, and this run works on %s in %s", journal.InstanceID, journal.Region, instance, region), nil)
	case account != "" && journal.AccountID != "" && journal.AccountID != account:
		return nil, journalFailure(path, fmt.Sprintf("it is the journal of account %s, and this run works in %s", journal.AccountID, account), nil)
	case token == "" || journal.Token == token:
		return journal, nil
	case journal.DoneAt.IsZero() && !journal.AskedAt.IsZero():
		return nil, journalFailure(path, fmt.Sprintf("it tells of another seal of the instance, whose AMI %s is not done", orPending(journal.ImageID)), nil)
	}
	fresh.Steps = slices.Concat(journal.Steps, []Step{{At: time.Now().UTC(), Step: "sealed again", Note: "the steps above are of an earlier seal and AMI " + orPending(journal.ImageID)}})
	return fresh, nil
}

// journalFailure is the failure for a journal that can not be used.
func journalFailure(path, why string, cause error) error {
	return &Failure{
		Code:    CodeJournal,
		Problem: fmt.Sprintf("journal_path: %s can not be used: %s", path, why),
		Cause:   cause,
		Next:    "give another journal_path, or remove the file when nothing is to be carried on",
		Final:   true,
	}
}

func readJournal(path string) (*Journal, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, 8<<20))
	if err != nil {
		return nil, err
	}
	journal, err := decodeJournal(data)
	if err != nil {
		return nil, err
	}
	journal.path = path
	return journal, nil
}

// decodeJournal is strict, as handoff.Decode is: a journal that is half
// understood might lead to a second AMI.
func decodeJournal(data []byte) (*Journal, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, err
	}
	if head.Version != journalVersion {
		return nil, fmt.Errorf("its version is %d, this plugin reads version %d", head.Version, journalVersion)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	journal := new(Journal)
	if err := decoder.Decode(journal); err != nil {
		return nil, err
	}
	if journal.InstanceID == "" || journal.Region == "" || journal.Token == "" {
		return nil, errors.New("it does not name the instance, the region and the token")
	}
	return journal, nil
}

// Path returns where the journal lies.
func (j *Journal) Path() string { return j.path }

// write appends a step and puts the journal on disk.
func (j *Journal) write(now time.Time, step, note string) error {
	j.Steps = append(j.Steps, Step{At: now.UTC().Round(0), Step: step, Note: note})
	data, err := json.MarshalIndent(j, "", "  ")
	if err == nil {
		err = handoff.WriteFile(j.path, append(data, '\n'))
	}
	if err != nil {
		return &Failure{
			Code: CodeJournal, Problem: fmt.Sprintf("journal_path: writing the step %q", step), Cause: err,
			Next: "give a journal_path that can be written",
		}
	}
	return nil
}

// stopSeen remembers the first sight of the stop that ended this start.
func (j *Journal) stopSeen(now time.Time, instance types.Instance) error {
	launched := awssdk.ToTime(instance.LaunchTime).UTC()
	if !j.StopSeenAt.IsZero() && launched.Equal(j.LaunchTime) {
		return nil
	}
	j.StopSeenAt, j.LaunchTime = now.UTC().Round(0), launched
	return j.write(now, "stop seen", awssdk.ToString(instance.StateTransitionReason))
}

func (j *Journal) proven(now time.Time, proof handoff.Proof) error {
	j.Proof = &proof
	return j.write(now, "proven", string(proof.Kind))
}

func (j *Journal) asking(now time.Time, name string) error {
	j.Name, j.AskedAt, j.ImageID, j.Failed = name, now.UTC().Round(0), "", ""
	return j.write(now, "asking for the image", name)
}

// notMade says that EC2 refused: no image exists, and the next run may ask again.
func (j *Journal) notMade(now time.Time, why string) error {
	j.AskedAt = time.Time{}
	return j.write(now, "refused by EC2", why)
}

func (j *Journal) made(now time.Time, imageID, note string) error {
	j.ImageID = imageID
	return j.write(now, "image "+imageID, note)
}

func (j *Journal) failed(now time.Time, why string) error {
	j.Failed = why
	return j.write(now, "image failed", why)
}

func (j *Journal) verified(now time.Time, snapshots []string) error {
	j.Snapshots, j.DoneAt = snapshots, now.UTC().Round(0)
	return j.write(now, "verified", "")
}

// proofKind is the kind of the accepted proof.
func (j *Journal) proofKind() handoff.ProofKind {
	if j.Proof == nil {
		return ProofNone
	}
	return j.Proof.Kind
}

// orPending is an image's id, or words for an image that nobody has seen.
func orPending(imageID string) string {
	if imageID == "" {
		return "(no id known)"
	}
	return imageID
}
