package ec2

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// furnished returns a server with a windows instance and a linux instance, an
// image of the first and an image of somebody else.
func furnished(t *testing.T) *Server {
	t.Helper()
	s := New(Options{Timing: Timing{Image: -1, SnapshotStart: -1, Terminate: -1}})
	t.Cleanup(s.Close)
	launch := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, in := range []Instance{
		{
			ID: "i-0000000000000000a", ImageID: "ami-0000000000000000b", KeyName: "key", PublicIP: "203.0.113.7", PrivateIP: "10.0.0.7",
			LaunchTime: launch, Profile: "arn:aws:iam::123456789012:instance-profile/p", Lifecycle: "spot",
			Volumes: []Volume{{ID: "vol-0000000000000000a", Device: "/dev/sda1", Size: 50, Encrypted: true, SnapshotID: "snap-0000000000000000f"}},
		},
		{
			ID: "i-0000000000000000b", Platform: "linux", Architecture: "arm64", Type: "t4g.small", State: StateStopped, AvailabilityZone: "us-east-1c",
			RootDeviceName: "/dev/xvda", Volumes: []Volume{{ID: "vol-0000000000000000b", Device: "/dev/xvda", Type: "gp2", KeepOnTermination: true}},
		},
	} {
		if _, err := s.AddInstance(in); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.AddImage(Image{
		ID: "ami-0000000000000000b", Name: "Windows_Server-2022", Description: "base", OwnerID: "801119661308", OwnerAlias: "amazon", Public: true,
		LaunchPermissions: []Permission{{Group: "all"}}, Created: launch,
	}); err != nil {
		t.Fatal(err)
	}
	ok(t, s, form("CreateImage", "InstanceId=i-0000000000000000a", "Name=golden", "Description=mine",
		"TagSpecification.1.ResourceType=image", "TagSpecification.1.Tag.1.Key=a", "TagSpecification.1.Tag.1.Value=b"))
	return s
}

// ok sends a request that must succeed, and returns the answer's element root.
func ok(t *testing.T, s *Server, values url.Values) node {
	t.Helper()
	w := post(s, DefaultRegion, values)
	if w.Code != http.StatusOK {
		t.Fatalf("%v: status %d\n%s", values, w.Code, w.Body)
	}
	var root node
	if err := unmarshal(w, &root); err != nil {
		t.Fatal(err)
	}
	return root
}

// texts returns the texts of all elements of this name, at any depth.
func (n node) texts(name string) []string {
	var all []string
	if n.XMLName.Local == name {
		all = append(all, n.Text)
	}
	for _, child := range n.Children {
		all = append(all, child.texts(name)...)
	}
	return all
}

func TestEveryFilterSelects(t *testing.T) {
	s := furnished(t)
	mine := s.Images(DefaultRegion)[1]
	const a, b = "i-0000000000000000a", "i-0000000000000000b"
	theirs := "ami-0000000000000000b"
	for _, test := range []struct {
		action, element, filter, value string
		want                           []string
	}{
		{"DescribeInstances", "instanceId", "instance-id", a, []string{a}},
		{"DescribeInstances", "instanceId", "instance-state-name", "stopped", []string{b}},
		{"DescribeInstances", "instanceId", "instance-state-code", "16", []string{a}},
		{"DescribeInstances", "instanceId", "image-id", theirs, []string{a}},
		{"DescribeInstances", "instanceId", "instance-type", "t4g.*", []string{b}},
		{"DescribeInstances", "instanceId", "availability-zone", "us-east-1a", []string{a}},
		{"DescribeInstances", "instanceId", "private-ip-address", "10.0.0.7", []string{a}},
		{"DescribeInstances", "instanceId", "ip-address", "203.0.113.7", []string{a}},
		{"DescribeInstances", "instanceId", "key-name", "key", []string{a}},
		{"DescribeInstances", "instanceId", "platform", "windows", []string{a}},
		{"DescribeInstances", "instanceId", "architecture", "arm64", []string{b}},
		{"DescribeInstances", "instanceId", "root-device-name", "/dev/xvda", []string{b}},
		{"DescribeInstances", "instanceId", "root-device-type", "ebs", []string{a, b}},
		{"DescribeInstances", "instanceId", "instance-lifecycle", "spot", []string{a}},
		{"DescribeInstances", "instanceId", "client-token", "t", nil},
		{"DescribeInstances", "instanceId", "reservation-id", "r-*", []string{a, b}},
		{"DescribeInstances", "instanceId", "state-reason-code", "Client.*", nil},
		{"DescribeInstances", "instanceId", "launch-time", "2026-01-02T*", []string{a}},
		{"DescribeInstances", "instanceId", "iam-instance-profile.arn", "*/p", []string{a}},
		{"DescribeInstances", "instanceId", "block-device-mapping.volume-id", "vol-*b", []string{b}},
		{"DescribeVolumes", "instanceId", "volume-id", "vol-*a", []string{a}},
		{"DescribeVolumes", "instanceId", "attachment.instance-id", b, []string{b}},
		{"DescribeVolumes", "instanceId", "attachment.device", "/dev/sda1", []string{a}},
		{"DescribeVolumes", "instanceId", "attachment.delete-on-termination", "false", []string{b}},
		{"DescribeVolumes", "instanceId", "status", "in-use", []string{a, b}},
		{"DescribeVolumes", "instanceId", "size", "50", []string{a}},
		{"DescribeVolumes", "instanceId", "volume-type", "gp2", []string{b}},
		{"DescribeVolumes", "instanceId", "encrypted", "true", []string{a}},
		{"DescribeVolumes", "instanceId", "snapshot-id", "snap-*f", []string{a}},
		{"DescribeVolumes", "instanceId", "availability-zone", "us-east-1c", []string{b}},
		{"DescribeImages", "imageId", "image-id", theirs, []string{theirs}},
		{"DescribeImages", "imageId", "name", "Windows_*", []string{theirs}},
		{"DescribeImages", "imageId", "description", "mine", []string{mine.ID}},
		{"DescribeImages", "imageId", "state", "available", []string{theirs, mine.ID}},
		{"DescribeImages", "imageId", "state-reason-code", "*", nil},
		{"DescribeImages", "imageId", "owner-id", DefaultAccountID, []string{mine.ID}},
		{"DescribeImages", "imageId", "owner-alias", "amazon", []string{theirs}},
		{"DescribeImages", "imageId", "architecture", "x86_64", []string{theirs, mine.ID}},
		{"DescribeImages", "imageId", "platform", "windows", []string{theirs, mine.ID}},
		{"DescribeImages", "imageId", "is-public", "true", []string{theirs}},
		{"DescribeImages", "imageId", "image-type", "machine", []string{theirs, mine.ID}},
		{"DescribeImages", "imageId", "virtualization-type", "hvm", []string{theirs, mine.ID}},
		{"DescribeImages", "imageId", "hypervisor", "ovm", nil},
		{"DescribeImages", "imageId", "root-device-name", "/dev/sda1", []string{theirs, mine.ID}},
		{"DescribeImages", "imageId", "root-device-type", "instance-store", nil},
		{"DescribeImages", "imageId", "source-instance-id", a, []string{mine.ID}},
		{"DescribeImages", "imageId", "creation-date", "2026-01-02*", []string{theirs}},
		{"DescribeImages", "imageId", "ena-support", "true", []string{theirs, mine.ID}},
		{"DescribeImages", "imageId", "block-device-mapping.device-name", "/dev/sda1", []string{theirs, mine.ID}},
		{"DescribeImages", "imageId", "block-device-mapping.snapshot-id", mine.Mappings[0].SnapshotID, []string{mine.ID}},
		{"DescribeImages", "imageId", "block-device-mapping.encrypted", "true", []string{mine.ID}},
		{"DescribeImages", "imageId", "block-device-mapping.volume-type", "gp3", []string{theirs, mine.ID}},
		{"DescribeImages", "imageId", "tag-value", "b", []string{mine.ID}},
		{"DescribeSnapshots", "volumeId", "snapshot-id", mine.Mappings[0].SnapshotID, []string{"vol-0000000000000000a"}},
		{"DescribeSnapshots", "volumeId", "volume-id", "vol-ffffffff", []string{"vol-ffffffff"}},
		{"DescribeSnapshots", "volumeId", "volume-size", "50", []string{"vol-0000000000000000a"}},
		{"DescribeSnapshots", "volumeId", "description", "Created by CreateImage(" + a + ") for *", []string{"vol-0000000000000000a"}},
		{"DescribeSnapshots", "volumeId", "status", "completed", []string{"vol-ffffffff", "vol-0000000000000000a"}},
		{"DescribeSnapshots", "volumeId", "encrypted", "false", []string{"vol-ffffffff"}},
		{"DescribeTags", "resourceId", "resource-id", mine.ID, []string{mine.ID}},
		{"DescribeTags", "resourceId", "resource-type", "instance", nil},
		{"DescribeTags", "resourceId", "key", "a", []string{mine.ID}},
		{"DescribeTags", "resourceId", "value", "c", nil},
		{"DescribeSpotInstanceRequests", "instanceId", "state", "active", []string{a}},
		{"DescribeSpotInstanceRequests", "instanceId", "instance-id", b, nil},
		{"DescribeSpotInstanceRequests", "instanceId", "spot-instance-request-id", "sir-0000000a", []string{a}},
		{"DescribeRegions", "regionName", "region-name", "eu-central-*", []string{"eu-central-1"}},
		{"DescribeRegions", "regionName", "endpoint", "ec2.sa-*", []string{"sa-east-1"}},
		{"DescribeRegions", "regionName", "opt-in-status", "not-opted-in", nil},
	} {
		t.Run(test.action+" by "+test.filter, func(t *testing.T) {
			root := ok(t, s, form(test.action, "Filter.1.Name="+test.filter, "Filter.1.Value.1="+test.value))
			if got := root.texts(test.element); !slices.Equal(got, test.want) {
				t.Errorf("found %v, want %v", got, test.want)
			}
		})
	}
}

func TestImagesThatSomebodyMayLaunch(t *testing.T) {
	s := furnished(t)
	mine := s.Images(DefaultRegion)[1].ID
	ok(t, s, form("ModifyImageAttribute", "ImageId="+mine, "LaunchPermission.Add.1.UserId=210987654321"))
	for who, want := range map[string][]string{
		"all": {"ami-0000000000000000b"}, "self": nil, "210987654321": {mine},
	} {
		if got := ok(t, s, form("DescribeImages", "ExecutableBy.1="+who)).texts("imageId"); !slices.Equal(got, want) {
			t.Errorf("%s may launch %v, want %v", who, got, want)
		}
	}
}

func TestBlockDevicesOfARequestLieOverThoseThatThereAre(t *testing.T) {
	base := []Mapping{{Device: "/dev/sda1", Size: 30, Type: "gp3", SnapshotID: "snap-1"}, {Device: "xvdb", Size: 8, Type: "gp3"}}
	for _, test := range []struct {
		name string
		form url.Values
		want []Mapping
	}{
		{"nothing is asked", form(""), base},
		{
			"a device is left out", form("", "BlockDeviceMapping.1.DeviceName=xvdb", "BlockDeviceMapping.1.NoDevice="),
			base[:1],
		},
		{
			"a device that is not there is left out", form("", "BlockDeviceMapping.1.DeviceName=xvdz", "BlockDeviceMapping.1.NoDevice="),
			base,
		},
		{
			"what is not named stays", form("", "BlockDeviceMapping.7.DeviceName=/dev/sda1", "BlockDeviceMapping.7.Ebs.DeleteOnTermination=false"),
			[]Mapping{{Device: "/dev/sda1", Size: 30, Type: "gp3", SnapshotID: "snap-1", KeepOnTermination: true}, base[1]},
		},
		{
			"all is named", form(
				"", "BlockDeviceMapping.1.DeviceName=xvdb", "BlockDeviceMapping.1.Ebs.VolumeSize=9", "BlockDeviceMapping.1.Ebs.VolumeType=io2",
				"BlockDeviceMapping.1.Ebs.Iops=4000", "BlockDeviceMapping.1.Ebs.Throughput=200", "BlockDeviceMapping.1.Ebs.Encrypted=true",
				"BlockDeviceMapping.1.Ebs.KmsKeyId=k", "BlockDeviceMapping.1.Ebs.SnapshotId=snap-2", "BlockDeviceMapping.1.Ebs.DeleteOnTermination=true",
			),
			[]Mapping{base[0], {Device: "xvdb", Size: 9, Type: "io2", IOPS: 4000, Throughput: 200, Encrypted: true, KMSKeyID: "k", SnapshotID: "snap-2"}},
		},
		{
			"a device is added", form("", "BlockDeviceMapping.1.DeviceName=xvdc", "BlockDeviceMapping.1.Ebs.VolumeSize=4"),
			[]Mapping{base[0], base[1], {Device: "xvdc", Size: 4, Type: "gp2"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			over, err := readMappings(params{values: test.form})
			if err != nil {
				t.Fatal(err)
			}
			got := overlay(base, over)
			for n := range got {
				got[n].given = nil
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(Mapping{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
