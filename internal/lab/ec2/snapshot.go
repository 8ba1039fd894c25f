package ec2

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Snapshot describes a snapshot, as [Server.Snapshots] found it.
type Snapshot struct {
	ID, Region, Description string
	// VolumeID is the volume it was made from; vol-ffffffff for a copy.
	VolumeID string
	// Size is in GiB.
	Size int
	// State is pending, completed or error.
	State     string
	Encrypted bool
	// KMSKeyID is the ARN of the key of an encrypted snapshot.
	KMSKeyID string
	// Permissions say who else may make volumes from it.
	Permissions []Permission
	Tags        map[string]string
}

// snapshot is a snapshot in its region.
type snapshot struct {
	row
	Snapshot
	// It comes to exist at started and is complete at due, unless the image
	// it belongs to fails.
	started, due time.Time
	image        *image
}

// newSnapshot makes the snapshot of one device of an image. The lock is held.
func (s *Server) newSnapshot(reg *region, im *image, m Mapping, volumeID string, hidden int) *snapshot {
	if volumeID == "" {
		volumeID = "vol-ffffffff"
	}
	snap := &snapshot{row: s.newRow(hidden), image: im, started: im.shown}
	// Snapshots are complete some time before their image is available.
	snap.due = im.shown.Add(im.due.Sub(im.shown) * 9 / 10)
	snap.Snapshot = Snapshot{
		ID: s.newID(snapshotKind.prefix), Region: reg.name, VolumeID: volumeID, Size: m.Size, Encrypted: m.Encrypted,
	}
	reg.snapshots.add(snap)
	return snap
}

// Snapshots returns the snapshots of a region in the order of their creation.
func (s *Server) Snapshots(regionName string) []Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	s.settle(now)
	var all []Snapshot
	for _, snap := range s.region(regionName).snapshots.rows {
		snap.progress(now)
		out := snap.Snapshot
		out.Tags = maps.Clone(snap.labels)
		out.Permissions = slices.Clone(snap.Permissions)
		all = append(all, out)
	}
	return all
}

// progress brings the snapshot's state up to now and returns its progress in
// percent.
func (snap *snapshot) progress(now time.Time) int {
	snap.image.settle(now)
	percent := 100
	if whole := snap.due.Sub(snap.started); whole > 0 && now.Before(snap.due) {
		percent = max(0, int(100*now.Sub(snap.started)/whole))
	}
	switch {
	case snap.image.failure != nil:
		percent, snap.State = min(percent, 99), "pending"
		if snap.image.State == ImageFailed {
			snap.State = "error"
		}
	case percent < 100 || now.Before(snap.due):
		snap.State = "pending"
	default:
		snap.State = "completed"
	}
	return percent
}

func (snap *snapshot) key() string { return snap.ID }

// property answers the filters of DescribeSnapshots.
func (snap *snapshot) property(name string) ([]string, bool) {
	switch name {
	case "snapshot-id":
		return []string{snap.ID}, true
	case "volume-id":
		return []string{snap.VolumeID}, true
	case "volume-size":
		return []string{strconv.Itoa(snap.Size)}, true
	case "description":
		return []string{snap.Description}, true
	case "status":
		return []string{snap.State}, true
	case "encrypted":
		return []string{strconv.FormatBool(snap.Encrypted)}, true
	}
	return nil, false
}

type snapshotXML struct {
	SnapshotID    string        `xml:"snapshotId"`
	VolumeID      string        `xml:"volumeId"`
	Status        string        `xml:"status"`
	StatusMessage string        `xml:"statusMessage,omitempty"`
	StartTime     string        `xml:"startTime"`
	Progress      string        `xml:"progress"`
	OwnerID       string        `xml:"ownerId"`
	Size          int           `xml:"volumeSize"`
	Description   string        `xml:"description"`
	Encrypted     bool          `xml:"encrypted"`
	KMSKeyID      string        `xml:"kmsKeyId,omitempty"`
	StorageTier   string        `xml:"storageTier"`
	Tags          *list[tagXML] `xml:"tagSet,omitempty"`
}

type describeSnapshotsAnswer struct {
	answer
	Snapshots list[snapshotXML] `xml:"snapshotSet"`
	NextToken string            `xml:"nextToken,omitempty"`
}

func describeSnapshots(r *request) (reply, *Error) {
	rows, err := r.region.snapshots.named(r.params.list("SnapshotId"))
	if err != nil {
		return nil, err
	}
	percents := map[string]int{}
	for _, snap := range rows {
		percents[snap.ID] = snap.progress(r.now)
	}
	if rows, err = r.region.snapshots.filtered(r.params, rows); err != nil {
		return nil, err
	}
	owners := r.params.list("Owner")
	rows = slices.DeleteFunc(slices.Clone(rows), func(snap *snapshot) bool {
		return r.now.Before(snap.started) || len(owners) > 0 && !slices.ContainsFunc(owners, func(owner string) bool {
			return owner == "self" || owner == r.server.opts.AccountID
		})
	})
	rows, token, err := page(r, rows, (*snapshot).number, 5, 1000)
	if err != nil {
		return nil, err
	}
	out := &describeSnapshotsAnswer{NextToken: token}
	for _, snap := range rows {
		x := snapshotXML{
			SnapshotID: snap.ID, VolumeID: snap.VolumeID, Status: snap.State, StartTime: formatTime(snap.started),
			Progress: fmt.Sprintf("%d%%", percents[snap.ID]), OwnerID: r.server.opts.AccountID, Size: snap.Size,
			Description: snap.Description, Encrypted: snap.Encrypted, KMSKeyID: snap.KMSKeyID, StorageTier: "standard", Tags: tagSet(snap.labels),
		}
		if snap.State == "error" {
			x.StatusMessage = snap.image.StateReasonMessage
		}
		out.Snapshots.Items = append(out.Snapshots.Items, x)
	}
	return out, nil
}

// userOf returns the image that uses a snapshot, or nil.
func (reg *region) userOf(snapshotID string) *image {
	for _, im := range reg.images.rows {
		if slices.ContainsFunc(im.Mappings, func(m Mapping) bool { return m.SnapshotID == snapshotID }) {
			return im
		}
	}
	return nil
}

func deleteSnapshot(r *request) (reply, *Error) {
	snap, err := r.region.snapshots.one(r.params.get("SnapshotId"))
	if err != nil {
		return nil, err
	}
	if im := r.region.userOf(snap.ID); im != nil {
		return nil, errorf("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", snap.ID, im.ID)
	}
	r.region.snapshots.remove(snap.ID)
	return done(), nil
}

func modifySnapshotAttribute(r *request) (reply, *Error) {
	snap, err := r.region.snapshots.one(r.params.get("SnapshotId"))
	if err != nil {
		return nil, err
	}
	if attribute := r.params.get("Attribute"); attribute != "" && attribute != "createVolumePermission" {
		return nil, invalidValue("attribute", attribute, "Expecting createVolumePermission.")
	}
	permissions, changed, err := changePermissions(r.params, "CreateVolumePermission", snap.Permissions)
	if err != nil {
		return nil, err
	}
	if !changed {
		return nil, errorf("InvalidParameterCombination", "No attributes specified.")
	}
	if snap.Encrypted && slices.Contains(permissions, Permission{Group: "all"}) {
		return nil, errorf("InvalidParameterValue", "Encrypted snapshots cannot be shared publicly")
	}
	snap.Permissions = permissions
	return done(), nil
}

type snapshotAttributeAnswer struct {
	answer
	SnapshotID  string               `xml:"snapshotId"`
	Permissions *list[permissionXML] `xml:"createVolumePermission"`
}

func describeSnapshotAttribute(r *request) (reply, *Error) {
	snap, err := r.region.snapshots.one(r.params.get("SnapshotId"))
	if err != nil {
		return nil, err
	}
	if attribute := r.params.get("Attribute"); attribute != "createVolumePermission" {
		return nil, invalidValue("attribute", attribute, "Expecting createVolumePermission.")
	}
	return &snapshotAttributeAnswer{SnapshotID: snap.ID, Permissions: permissionsXML(snap.Permissions)}, nil
}
