package ec2

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The states of an image.
const (
	ImagePending   = "pending"
	ImageAvailable = "available"
	ImageFailed    = "failed"
)

// Image describes an image: what [Server.AddImage] is to add, and what
// [Server.Images] found.
type Image struct {
	// ID is the image's id. Default: a new one.
	ID string
	// Region is where it lives. Default [DefaultRegion].
	Region string
	// Name is unique in its account and region. It is required.
	Name string
	// Description is free text.
	Description string
	// OwnerID is the owning account. Default: the server's. OwnerAlias is
	// "amazon" for AWS's own images.
	OwnerID, OwnerAlias string
	// State is pending, available (default) or failed.
	State string
	// StateReasonCode and StateReasonMessage say why it failed.
	StateReasonCode, StateReasonMessage string
	// Platform is "windows" (default) or "linux".
	Platform string
	// Architecture defaults to x86_64.
	Architecture string
	// RootDeviceName defaults to /dev/sda1, RootDeviceType to ebs.
	RootDeviceName, RootDeviceType string
	// BootMode is empty, legacy-bios, uefi or uefi-preferred; TPMSupport is
	// empty or v2.0, IMDSSupport is empty or v2.0.
	BootMode, TPMSupport, IMDSSupport string
	// Public says whether everybody may launch it.
	Public bool
	// SourceInstanceID and NoReboot say how CreateImage made it;
	// SourceImageID and SourceRegion how CopyImage did.
	SourceInstanceID            string
	NoReboot                    bool
	SourceImageID, SourceRegion string
	// Created is its creation date. Default: now.
	Created time.Time
	// DeprecationTime is zero unless the image is or will be deprecated.
	DeprecationTime time.Time
	// DeregistrationProtection is "disabled" (default),
	// "enabled-without-cooldown" or "enabled-with-cooldown".
	DeregistrationProtection string
	// LaunchPermissions say who else may launch it, in the order in which
	// they were given.
	LaunchPermissions []Permission
	// Mappings are its block devices. Default: one volume of 30 GiB with a new
	// snapshot.
	Mappings []Mapping
	// Tags are its tags.
	Tags map[string]string
}

// Permission is who may launch an image or make volumes from a snapshot:
// exactly one field is set.
type Permission struct {
	UserID, Group, OrganizationArn, OrganizationalUnitArn string
}

// Mapping is a block device of an image or in a request.
type Mapping struct {
	Device string
	// VirtualName is ephemeral0 and so on for instance store volumes; the
	// other fields then have no meaning.
	VirtualName       string
	SnapshotID        string
	Size              int
	Type              string
	IOPS, Throughput  int
	Encrypted         bool
	KMSKeyID          string
	KeepOnTermination bool
	// removed is NoDevice in a request; given are the names of the fields
	// that a request has set.
	removed bool
	given   []string
}

// image is an image in its region.
type image struct {
	row
	Image
	// due is when it leaves the state pending, shown when its snapshots
	// begin to exist, failure how it ends if not available.
	due, shown time.Time
	failure    *imageFailure
	launched   time.Time
}

// AddImage adds an image that exists already, such as one of AWS's own, and
// returns its id. An error says that the id or the name is malformed or taken.
func (s *Server) AddImage(in Image) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	reg := s.region(in.Region)
	if in.ID != "" {
		if err := imageKind.check(in.ID); err != nil {
			return "", fmt.Errorf("adding an image: %w", err)
		}
		if _, taken := reg.images.find(in.ID); taken {
			return "", fmt.Errorf("adding image %s: it exists", in.ID)
		}
	}
	if err := s.checkImageName(reg, in.Name); err != nil {
		return "", fmt.Errorf("adding an image: %w", err)
	}
	im := s.newImage(reg, in, now, 0)
	for n := range im.Mappings {
		m := &im.Mappings[n]
		if m.VirtualName == "" && m.SnapshotID == "" {
			snap := s.newSnapshot(reg, im, *m, "", 0)
			snap.started, snap.due = im.Created, im.Created
			m.SnapshotID = snap.ID
		}
	}
	return im.ID, nil
}

// newImage completes a description and puts it into its region. The lock is
// held.
func (s *Server) newImage(reg *region, in Image, now time.Time, hidden int) *image {
	fill := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	in.Region = reg.name
	if in.ID == "" {
		in.ID = s.newID(imageKind.prefix)
	}
	fill(&in.OwnerID, s.opts.AccountID)
	fill(&in.State, ImageAvailable)
	fill(&in.Platform, "windows")
	fill(&in.Architecture, "x86_64")
	fill(&in.RootDeviceName, "/dev/sda1")
	fill(&in.RootDeviceType, "ebs")
	fill(&in.DeregistrationProtection, "disabled")
	if in.Created.IsZero() {
		in.Created = now
	}
	if in.Mappings == nil && in.RootDeviceType == "ebs" {
		in.Mappings = []Mapping{{Device: in.RootDeviceName, Size: 30, Type: "gp3"}}
	}
	in.Mappings = slices.Clone(in.Mappings)
	in.LaunchPermissions = slices.Clone(in.LaunchPermissions)
	im := &image{row: s.newRow(hidden)}
	im.setTags(in.Tags)
	in.Tags = nil
	im.Image = in
	reg.images.add(im)
	return im
}

// Images returns the images of a region in the order of their creation.
func (s *Server) Images(regionName string) []Image {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(s.Now())
	var all []Image
	for _, im := range s.region(regionName).images.rows {
		out := im.Image
		out.Tags = maps.Clone(im.labels)
		out.Mappings = slices.Clone(im.Mappings)
		out.LaunchPermissions = slices.Clone(im.LaunchPermissions)
		all = append(all, out)
	}
	return all
}

// settle ends the pending of an image whose time is over.
func (im *image) settle(now time.Time) {
	if im.State != ImagePending || now.Before(im.due) {
		return
	}
	im.State = ImageAvailable
	if im.failure != nil {
		im.State, im.StateReasonCode, im.StateReasonMessage = ImageFailed, im.failure.code, im.failure.message
	}
}

func (im *image) key() string { return im.ID }

// property answers the filters of DescribeImages.
func (im *image) property(name string) ([]string, bool) {
	one := func(value string) ([]string, bool) {
		if value == "" {
			return nil, true
		}
		return []string{value}, true
	}
	each := func(value func(Mapping) string) ([]string, bool) {
		var all []string
		for _, m := range im.Mappings {
			if m.VirtualName == "" {
				all = append(all, value(m))
			}
		}
		return all, true
	}
	switch name {
	case "image-id":
		return one(im.ID)
	case "name":
		return one(im.Name)
	case "description":
		return one(im.Description)
	case "state":
		return one(im.State)
	case "state-reason-code":
		return one(im.StateReasonCode)
	case "owner-id":
		return one(im.OwnerID)
	case "owner-alias":
		return one(im.OwnerAlias)
	case "architecture":
		return one(im.Architecture)
	case "platform":
		return one(strings.TrimPrefix(im.Platform, "linux"))
	case "is-public":
		return one(strconv.FormatBool(im.Public))
	case "image-type":
		return one("machine")
	case "virtualization-type":
		return one("hvm")
	case "hypervisor":
		return one("xen")
	case "root-device-name":
		return one(im.RootDeviceName)
	case "root-device-type":
		return one(im.RootDeviceType)
	case "source-instance-id":
		return one(im.SourceInstanceID)
	case "creation-date":
		return one(formatTime(im.Created))
	case "ena-support":
		return one("true")
	case "block-device-mapping.device-name":
		return each(func(m Mapping) string { return m.Device })
	case "block-device-mapping.snapshot-id":
		return each(func(m Mapping) string { return m.SnapshotID })
	case "block-device-mapping.encrypted":
		return each(func(m Mapping) string { return strconv.FormatBool(m.Encrypted) })
	case "block-device-mapping.volume-type":
		return each(func(m Mapping) string { return m.Type })
	}
	return nil, false
}
