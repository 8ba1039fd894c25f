package ec2

import (
	"slices"
	"time"
)

type ebsXML struct {
	SnapshotID          string `xml:"snapshotId,omitempty"`
	Size                int    `xml:"volumeSize,omitempty"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
	Type                string `xml:"volumeType,omitempty"`
	IOPS                int    `xml:"iops,omitempty"`
	Throughput          int    `xml:"throughput,omitempty"`
	Encrypted           bool   `xml:"encrypted"`
}

type mappingXML struct {
	Device      string  `xml:"deviceName"`
	VirtualName string  `xml:"virtualName,omitempty"`
	EBS         *ebsXML `xml:"ebs,omitempty"`
}

type imageXML struct {
	ImageID          string           `xml:"imageId"`
	Location         string           `xml:"imageLocation"`
	State            string           `xml:"imageState"`
	OwnerID          string           `xml:"imageOwnerId"`
	OwnerAlias       string           `xml:"imageOwnerAlias,omitempty"`
	CreationDate     string           `xml:"creationDate"`
	Public           bool             `xml:"isPublic"`
	Architecture     string           `xml:"architecture"`
	ImageType        string           `xml:"imageType"`
	Platform         string           `xml:"platform,omitempty"`
	PlatformDetails  string           `xml:"platformDetails"`
	UsageOperation   string           `xml:"usageOperation"`
	SriovNetSupport  string           `xml:"sriovNetSupport"`
	ENASupport       bool             `xml:"enaSupport"`
	Name             string           `xml:"name"`
	Description      string           `xml:"description,omitempty"`
	RootDeviceType   string           `xml:"rootDeviceType"`
	RootDeviceName   string           `xml:"rootDeviceName"`
	Mappings         list[mappingXML] `xml:"blockDeviceMapping"`
	Virtualization   string           `xml:"virtualizationType"`
	Tags             *list[tagXML]    `xml:"tagSet,omitempty"`
	Hypervisor       string           `xml:"hypervisor"`
	StateReason      *reasonXML       `xml:"stateReason,omitempty"`
	BootMode         string           `xml:"bootMode,omitempty"`
	TPMSupport       string           `xml:"tpmSupport,omitempty"`
	IMDSSupport      string           `xml:"imdsSupport,omitempty"`
	DeprecationTime  string           `xml:"deprecationTime,omitempty"`
	Protection       string           `xml:"deregistrationProtection"`
	SourceInstanceID string           `xml:"sourceInstanceId,omitempty"`
	SourceImageID    string           `xml:"sourceImageId,omitempty"`
	SourceRegion     string           `xml:"sourceImageRegion,omitempty"`
	LastLaunched     string           `xml:"lastLaunchedTime,omitempty"`
}

type describeImagesAnswer struct {
	answer
	Images    list[imageXML] `xml:"imagesSet"`
	NextToken string         `xml:"nextToken,omitempty"`
}

func describeImages(r *request) (reply, *Error) {
	rows, err := r.region.images.named(r.params.list("ImageId"))
	if err != nil {
		return nil, err
	}
	if rows, err = r.region.images.filtered(r.params, rows); err != nil {
		return nil, err
	}
	deprecated, err := r.params.boolean("IncludeDeprecated")
	if err != nil {
		return nil, err
	}
	owners, launchers := r.params.list("Owner"), r.params.list("ExecutableBy")
	rows = slices.DeleteFunc(slices.Clone(rows), func(im *image) bool {
		mine := im.OwnerID == r.server.opts.AccountID
		if !mine && !deprecated && !im.DeprecationTime.IsZero() && !im.DeprecationTime.After(r.now) {
			return true
		}
		if len(launchers) > 0 && !slices.ContainsFunc(launchers, func(who string) bool { return r.mayLaunch(im, who) }) {
			return true
		}
		return len(owners) > 0 && !slices.ContainsFunc(owners, func(owner string) bool {
			return owner == im.OwnerID || owner == "self" && mine || im.OwnerAlias != "" && owner == im.OwnerAlias
		})
	})
	rows, token, err := page(r, rows, (*image).number, 1, 1000)
	if err != nil {
		return nil, err
	}
	out := &describeImagesAnswer{NextToken: token}
	for _, im := range rows {
		out.Images.Items = append(out.Images.Items, im.xml(r.now))
	}
	return out, nil
}

// mayLaunch says whether an account ID, "self" or "all" has been given the
// permission to launch an image.
func (r *request) mayLaunch(im *image, who string) bool {
	if who == "all" {
		return im.Public
	}
	if who == "self" {
		who = r.server.opts.AccountID
	}
	return slices.ContainsFunc(im.LaunchPermissions, func(p Permission) bool { return p.UserID == who })
}

func (im *image) xml(now time.Time) imageXML {
	location := im.OwnerAlias
	if location == "" {
		location = im.OwnerID
	}
	x := imageXML{
		ImageID: im.ID, Location: location + "/" + im.Name, State: im.State, OwnerID: im.OwnerID, OwnerAlias: im.OwnerAlias,
		CreationDate: formatTime(im.Created), Public: im.Public, Architecture: im.Architecture, ImageType: "machine",
		PlatformDetails: "Linux/UNIX", UsageOperation: "RunInstances", SriovNetSupport: "simple", ENASupport: true,
		Name: im.Name, Description: im.Description, RootDeviceType: im.RootDeviceType, RootDeviceName: im.RootDeviceName,
		Virtualization: "hvm", Tags: tagSet(im.labels), Hypervisor: "xen", BootMode: im.BootMode, TPMSupport: im.TPMSupport,
		IMDSSupport: im.IMDSSupport, Protection: im.DeregistrationProtection, SourceInstanceID: im.SourceInstanceID,
		SourceImageID: im.SourceImageID, SourceRegion: im.SourceRegion, Mappings: im.mappingsXML(now),
	}
	if im.Platform == "windows" {
		x.Platform, x.PlatformDetails, x.UsageOperation = "windows", "Windows", "RunInstances:0002"
	}
	if im.StateReasonCode != "" {
		x.StateReason = &reasonXML{im.StateReasonCode, im.StateReasonMessage}
	}
	if !im.DeprecationTime.IsZero() {
		x.DeprecationTime = formatTime(im.DeprecationTime)
	}
	if !im.launched.IsZero() {
		x.LastLaunched = formatTime(im.launched)
	}
	return x
}

// mappingsXML lists the block devices, which an image has from the moment its
// snapshots exist.
func (im *image) mappingsXML(now time.Time) list[mappingXML] {
	var out list[mappingXML]
	if now.Before(im.shown) {
		return out
	}
	for _, m := range im.Mappings {
		x := mappingXML{Device: m.Device, VirtualName: m.VirtualName}
		if m.VirtualName == "" {
			x.EBS = &ebsXML{
				SnapshotID: m.SnapshotID, Size: m.Size, DeleteOnTermination: !m.KeepOnTermination,
				Type: m.Type, IOPS: m.IOPS, Throughput: m.Throughput, Encrypted: m.Encrypted,
			}
		}
		out.Items = append(out.Items, x)
	}
	return out
}
