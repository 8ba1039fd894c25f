package ec2

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Volume describes an EBS volume that is attached to an instance.
type Volume struct {
	// ID is the volume's id. Default: a new one.
	ID string
	// Device is the name under which it is attached, such as /dev/sda1.
	Device string
	// Size is in GiB. Default 30.
	Size int
	// Type defaults to gp3.
	Type string
	// IOPS and Throughput (MiB/s) default to 3000 and 125 for gp3.
	IOPS, Throughput int
	// Encrypted and KMSKeyID say how it is encrypted. An encrypted volume
	// without a key has the account's default key.
	Encrypted bool
	KMSKeyID  string
	// SnapshotID is the snapshot it was made from, optional.
	SnapshotID string
	// KeepOnTermination turns DeleteOnTermination off.
	KeepOnTermination bool
	// Tags are the volume's tags.
	Tags map[string]string
}

// volume is a volume in its region.
type volume struct {
	row
	Volume
	zone     string
	instance string // empty when detached
	created  time.Time
}

// newVolume puts a volume of an instance into its region. The lock is held.
func (s *Server) newVolume(reg *region, v Volume, in Instance, now time.Time, hidden int) *volume {
	if v.ID == "" {
		v.ID = s.newID(volumeKind.prefix)
	}
	if v.Size == 0 {
		v.Size = 30
	}
	if v.Type == "" {
		v.Type = "gp3"
	}
	if v.Type == "gp3" && v.IOPS == 0 {
		v.IOPS, v.Throughput = 3000, 125
	}
	if v.Encrypted {
		v.KMSKeyID = s.keyARN(reg.name, v.KMSKeyID)
	}
	made := &volume{row: s.newRow(hidden), zone: in.AvailabilityZone, instance: in.ID, created: now}
	made.setTags(v.Tags)
	v.Tags = nil
	made.Volume = v
	reg.volumes.add(made)
	return made
}

// keyARN is the ARN of a KMS key, however the client called it: EC2 always
// shows the key itself and never an alias.
func (s *Server) keyARN(region, name string) string {
	if strings.HasPrefix(name, "arn:") && strings.Contains(name, ":key/") {
		return name
	}
	id := name
	if _, alias, found := strings.Cut(name, "alias/"); found || name == "" {
		if !found {
			alias = "aws/ebs"
		}
		d := s.digest("key", region, alias)
		id = d[:8] + "-" + d[8:12] + "-4" + d[13:16] + "-a" + d[17:20] + "-" + d[20:32]
	}
	return "arn:" + partition(region) + ":kms:" + region + ":" + s.opts.AccountID + ":key/" + id
}

// releaseVolumes deletes or detaches the volumes of a terminated instance.
func (s *Server) releaseVolumes(i *instance) {
	reg := s.region(i.Region)
	for _, v := range i.volumes {
		if v.KeepOnTermination {
			v.instance = ""
		} else {
			reg.volumes.remove(v.ID)
		}
	}
	i.volumes = nil
}

func (v *volume) describe() Volume {
	out := v.Volume
	out.Tags = maps.Clone(v.labels)
	return out
}

func (v *volume) key() string { return v.ID }

func (v *volume) state() string {
	if v.instance == "" {
		return "available"
	}
	return "in-use"
}

// property answers the filters of DescribeVolumes.
func (v *volume) property(name string) ([]string, bool) {
	switch name {
	case "volume-id":
		return []string{v.ID}, true
	case "attachment.instance-id":
		return slices.DeleteFunc([]string{v.instance}, func(id string) bool { return id == "" }), true
	case "attachment.device":
		return []string{v.Device}, true
	case "attachment.delete-on-termination":
		return []string{strconv.FormatBool(!v.KeepOnTermination)}, true
	case "status":
		return []string{v.state()}, true
	case "size":
		return []string{strconv.Itoa(v.Size)}, true
	case "volume-type":
		return []string{v.Type}, true
	case "encrypted":
		return []string{strconv.FormatBool(v.Encrypted)}, true
	case "snapshot-id":
		return []string{v.SnapshotID}, true
	case "availability-zone":
		return []string{v.zone}, true
	}
	return nil, false
}

type attachmentXML struct {
	VolumeID            string `xml:"volumeId"`
	InstanceID          string `xml:"instanceId"`
	Device              string `xml:"device"`
	Status              string `xml:"status"`
	AttachTime          string `xml:"attachTime"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
}

type volumeXML struct {
	VolumeID    string              `xml:"volumeId"`
	Size        int                 `xml:"size"`
	SnapshotID  string              `xml:"snapshotId"`
	Zone        string              `xml:"availabilityZone"`
	Status      string              `xml:"status"`
	CreateTime  string              `xml:"createTime"`
	Attachments list[attachmentXML] `xml:"attachmentSet"`
	VolumeType  string              `xml:"volumeType"`
	IOPS        int                 `xml:"iops,omitempty"`
	Throughput  int                 `xml:"throughput,omitempty"`
	Encrypted   bool                `xml:"encrypted"`
	KMSKeyID    string              `xml:"kmsKeyId,omitempty"`
	MultiAttach bool                `xml:"multiAttachEnabled"`
	Tags        *list[tagXML]       `xml:"tagSet,omitempty"`
}

type describeVolumesAnswer struct {
	answer
	Volumes   list[volumeXML] `xml:"volumeSet"`
	NextToken string          `xml:"nextToken,omitempty"`
}

func describeVolumes(r *request) (reply, *Error) {
	rows, err := r.region.volumes.named(r.params.list("VolumeId"))
	if err != nil {
		return nil, err
	}
	if rows, err = r.region.volumes.filtered(r.params, rows); err != nil {
		return nil, err
	}
	rows, token, err := page(r, rows, (*volume).number, 5, 1000)
	if err != nil {
		return nil, err
	}
	out := &describeVolumesAnswer{NextToken: token}
	for _, v := range rows {
		x := volumeXML{
			VolumeID: v.ID, Size: v.Size, SnapshotID: v.SnapshotID, Zone: v.zone, Status: v.state(),
			CreateTime: formatTime(v.created), VolumeType: v.Type, IOPS: v.IOPS, Throughput: v.Throughput,
			Encrypted: v.Encrypted, KMSKeyID: v.KMSKeyID, Tags: tagSet(v.labels),
		}
		if v.instance != "" {
			x.Attachments.Items = []attachmentXML{{
				VolumeID: v.ID, InstanceID: v.instance, Device: v.Device, Status: "attached",
				AttachTime: formatTime(v.created), DeleteOnTermination: !v.KeepOnTermination,
			}}
		}
		out.Volumes.Items = append(out.Volumes.Items, x)
	}
	return out, nil
}
