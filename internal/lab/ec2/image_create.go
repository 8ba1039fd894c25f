package ec2

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// checkImageName applies the rules for names of images (API Reference,
// CreateImage) and that they are unique. A failed image keeps its name.
func (s *Server) checkImageName(reg *region, name string) *Error {
	const special = "()[] ./-'@_"
	bad := func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune(special, r)
	}
	if len(name) < 3 || len(name) > 128 || strings.ContainsFunc(name, bad) {
		return errorf("InvalidAMIName.Malformed",
			"AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', '/' and '_'")
	}
	for _, im := range reg.images.rows {
		if im.Name == name && im.OwnerID == s.opts.AccountID {
			return errorf("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", name, im.ID)
		}
	}
	return nil
}

// readMappings reads BlockDeviceMapping.n.
func readMappings(p params) ([]Mapping, *Error) {
	var all []Mapping
	for _, b := range p.structs("BlockDeviceMapping") {
		m := Mapping{
			Device: b.get("DeviceName"), VirtualName: b.get("VirtualName"), SnapshotID: b.get("Ebs.SnapshotId"),
			Type: b.get("Ebs.VolumeType"), KMSKeyID: b.get("Ebs.KmsKeyId"), removed: b.has("NoDevice"),
		}
		if m.Device == "" {
			return nil, missingParameter("BlockDeviceMapping.DeviceName")
		}
		for name, field := range map[string]*int{"Ebs.VolumeSize": &m.Size, "Ebs.Iops": &m.IOPS, "Ebs.Throughput": &m.Throughput} {
			n, err := b.number(name, 0)
			if err != nil {
				return nil, err
			}
			*field = n
		}
		var err *Error
		if m.Encrypted, err = b.boolean("Ebs.Encrypted"); err != nil {
			return nil, err
		}
		if b.has("Ebs.DeleteOnTermination") {
			remove, err := b.boolean("Ebs.DeleteOnTermination")
			if err != nil {
				return nil, err
			}
			m.KeepOnTermination = !remove
		}
		for _, name := range []string{"DeleteOnTermination", "VolumeType", "VolumeSize", "Iops", "Throughput", "Encrypted", "SnapshotId", "KmsKeyId"} {
			if b.has("Ebs." + name) {
				m.given = append(m.given, name)
			}
		}
		all = append(all, m)
	}
	return all, nil
}

// overlay puts the mappings of a request over those that there are. Of a device
// that exists, what the request does not name stays.
func overlay(base, over []Mapping) []Mapping {
	out := slices.Clone(base)
	for _, m := range over {
		n := slices.IndexFunc(out, func(b Mapping) bool { return b.Device == m.Device })
		switch {
		case m.removed && n >= 0:
			out = slices.Delete(out, n, n+1)
		case m.removed:
		case n < 0:
			if m.Type == "" {
				m.Type = "gp2"
			}
			out = append(out, m)
		default:
			for _, name := range m.given {
				switch name {
				case "DeleteOnTermination":
					out[n].KeepOnTermination = m.KeepOnTermination
				case "VolumeType":
					out[n].Type = m.Type
				case "VolumeSize":
					out[n].Size = m.Size
				case "Iops":
					out[n].IOPS = m.IOPS
				case "Throughput":
					out[n].Throughput = m.Throughput
				case "Encrypted":
					out[n].Encrypted = m.Encrypted
				case "KmsKeyId":
					out[n].KMSKeyID = m.KMSKeyID
				case "SnapshotId":
					out[n].SnapshotID = m.SnapshotID
				}
			}
		}
	}
	return out
}

type imageIDAnswer struct {
	answer
	ImageID string `xml:"imageId"`
}

func createImage(r *request) (reply, *Error) {
	i, err := r.region.instances.one(r.params.get("InstanceId"))
	if err != nil {
		return nil, err
	}
	// Stopping is accepted too. Code and wording as AWS Systems Manager
	// reports them of the real API.
	if i.State != StateRunning && i.State != StateStopping && i.State != StateStopped {
		return nil, errorf("InvalidParameterValue",
			"Invalid value '%s' for instanceId. Instance is not in state 'running' or 'stopping' or 'stopped'", i.ID)
	}
	if i.RootDeviceType != "ebs" {
		return nil, errorf("InvalidParameterValue", "The instance '%s' does not have an 'ebs' root device type", i.ID)
	}
	if !slices.ContainsFunc(i.volumes, func(v *volume) bool { return v.Device == i.RootDeviceName }) {
		return nil, errorf("InvalidParameterValue", "Instance does not have a volume attached at root (%s)", i.RootDeviceName)
	}
	if err := r.server.checkImageName(r.region, r.params.get("Name")); err != nil {
		return nil, err
	}
	tags, err := readTagSpecifications(r.params, "image", "snapshot")
	if err != nil {
		return nil, err
	}
	noReboot, err := r.params.boolean("NoReboot")
	if err != nil {
		return nil, err
	}
	over, err := readMappings(r.params)
	if err != nil {
		return nil, err
	}
	var base []Mapping
	volumes := map[string]string{}
	for _, v := range i.volumes {
		volumes[v.Device] = v.ID
		base = append(base, Mapping{
			Device: v.Device, Size: v.Size, Type: v.Type, IOPS: v.IOPS, Throughput: v.Throughput,
			Encrypted: v.Encrypted, KMSKeyID: v.KMSKeyID, KeepOnTermination: v.KeepOnTermination,
		})
	}
	if err := checkOverride(base, over); err != nil {
		return nil, err
	}
	im := r.newImage(Image{
		Name: r.params.get("Name"), Description: r.params.get("Description"), SourceInstanceID: i.ID, NoReboot: noReboot,
		Platform: i.Platform, Architecture: i.Architecture, RootDeviceName: i.RootDeviceName, RootDeviceType: "ebs",
		Mappings: overlay(base, over), Tags: tags["image"],
	}, r.server.timing.Image)
	for n := range im.Mappings {
		m := &im.Mappings[n]
		// Images do not say how volumes are encrypted; their snapshots do.
		key := m.KMSKeyID
		m.KMSKeyID = ""
		if volumes[m.Device] == "" {
			continue
		}
		snap := r.server.newSnapshot(r.region, im, *m, volumes[m.Device], r.server.hideNew)
		snap.Description = fmt.Sprintf("Created by CreateImage(%s) for %s", i.ID, im.ID)
		snap.KMSKeyID = key
		snap.setTags(tags["snapshot"])
		m.SnapshotID = snap.ID
	}
	if i.State == StateRunning && !noReboot {
		r.server.reboot(i)
	}
	return &imageIDAnswer{ImageID: im.ID}, nil
}

// checkOverride refuses what a request wants to be otherwise in volumes that
// exist: "You can't change the volume size", "You can't modify the encryption
// status of existing volumes" (API Reference, CreateImage).
func checkOverride(base, over []Mapping) *Error {
	for _, m := range over {
		n := slices.IndexFunc(base, func(b Mapping) bool { return b.Device == m.Device })
		if n < 0 {
			if !m.removed && m.VirtualName == "" && m.Size == 0 && m.SnapshotID == "" {
				return errorf("MissingParameter", "The request must contain the parameter size or snapshotId")
			}
			continue
		}
		for _, name := range m.given {
			if name == "VolumeSize" && m.Size != base[n].Size || name == "Encrypted" && m.Encrypted != base[n].Encrypted ||
				name == "SnapshotId" || name == "KmsKeyId" {
				return errorf("InvalidBlockDeviceMapping", "The %s of the existing volume at '%s' cannot be changed", name, m.Device)
			}
		}
	}
	return nil
}

// newImage begins a new image of the region, which will be pending for takes.
func (r *request) newImage(in Image, takes time.Duration) *image {
	in.State = ImagePending
	im := r.server.newImage(r.region, in, r.now, r.server.hideNew)
	im.due = r.now.Add(takes)
	im.shown = r.now.Add(min(r.server.timing.SnapshotStart, takes))
	if waiting := r.server.failures; len(waiting) > 0 {
		im.failure = &waiting[0]
		r.server.failures = waiting[1:]
	}
	return im
}

func copyImage(r *request) (reply, *Error) {
	if id, err := r.once(); err != nil || id != "" {
		return &imageIDAnswer{ImageID: id}, err
	}
	from := r.params.get("SourceRegion")
	if !slices.ContainsFunc(regionNames, func(known regionStatus) bool { return known.name == from }) {
		return nil, invalidValue("sourceRegion", from, "Unknown region.")
	}
	source, err := r.server.region(from).images.one(r.params.get("SourceImageId"))
	if err != nil {
		return nil, err
	}
	if source.State != ImageAvailable {
		return nil, errorf("InvalidAMIID.Unavailable", "The image ID '%s' is not available", source.ID)
	}
	if err := r.server.checkImageName(r.region, r.params.get("Name")); err != nil {
		return nil, err
	}
	encrypted, err := r.params.boolean("Encrypted")
	if err != nil {
		return nil, err
	}
	key := r.params.get("KmsKeyId")
	if key != "" && !encrypted {
		return nil, errorf("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	}
	withTags, err := r.params.boolean("CopyImageTags")
	if err != nil {
		return nil, err
	}
	tags, err := readTagSpecifications(r.params, "image", "snapshot")
	if err != nil {
		return nil, err
	}
	in := source.Image
	in.ID, in.OwnerID, in.OwnerAlias, in.Public, in.LaunchPermissions = "", "", "", false, nil
	in.Name, in.Description = r.params.get("Name"), r.params.get("Description")
	in.SourceImageID, in.SourceRegion, in.SourceInstanceID = source.ID, from, ""
	in.Created, in.DeprecationTime, in.DeregistrationProtection = time.Time{}, time.Time{}, ""
	im := r.newImage(in, r.server.timing.Copy)
	if withTags {
		for name, value := range source.labels {
			if !strings.HasPrefix(name, "aws:") {
				im.labels[name] = value
			}
		}
	}
	im.setTags(tags["image"])
	for n := range im.Mappings {
		m := &im.Mappings[n]
		if m.VirtualName != "" {
			continue
		}
		original := m.SnapshotID
		wasEncrypted := m.Encrypted
		m.Encrypted = wasEncrypted || encrypted
		// A copied snapshot belongs to no volume: EC2 shows vol-ffffffff.
		snap := r.server.newSnapshot(r.region, im, *m, "vol-ffffffff", r.server.hideNew)
		snap.Description = fmt.Sprintf("Copied for DestinationAmi %s from SourceAmi %s for SourceSnapshot %s. Task created on %d.",
			im.ID, source.ID, original, r.now.UnixMilli())
		if m.Encrypted {
			snap.KMSKeyID = r.server.keyARN(r.region.name, key)
		}
		snap.setTags(tags["snapshot"])
		m.SnapshotID = snap.ID
	}
	r.remember(im.ID)
	return &imageIDAnswer{ImageID: im.ID}, nil
}
