package ec2

import (
	"fmt"
	"slices"
	"strings"
)

type placementXML struct {
	Zone    string `xml:"availabilityZone"`
	Group   string `xml:"groupName"`
	Tenancy string `xml:"tenancy"`
}

type ebsAttachmentXML struct {
	VolumeID            string `xml:"volumeId"`
	Status              string `xml:"status"`
	AttachTime          string `xml:"attachTime"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
}

type attachedXML struct {
	Device string           `xml:"deviceName"`
	EBS    ebsAttachmentXML `xml:"ebs"`
}

type reasonXML struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

type profileXML struct {
	Arn string `xml:"arn"`
	ID  string `xml:"id"`
}

type monitoringXML struct {
	State string `xml:"state"`
}

type metadataOptionsXML struct {
	State        string `xml:"state"`
	HTTPTokens   string `xml:"httpTokens"`
	HopLimit     int    `xml:"httpPutResponseHopLimit"`
	HTTPEndpoint string `xml:"httpEndpoint"`
}

type instanceXML struct {
	InstanceID       string              `xml:"instanceId"`
	ImageID          string              `xml:"imageId"`
	State            stateXML            `xml:"instanceState"`
	PrivateDNSName   string              `xml:"privateDnsName"`
	DNSName          string              `xml:"dnsName"`
	Reason           string              `xml:"reason"`
	KeyName          string              `xml:"keyName,omitempty"`
	LaunchIndex      int                 `xml:"amiLaunchIndex"`
	ProductCodes     list[string]        `xml:"productCodes"`
	InstanceType     string              `xml:"instanceType"`
	LaunchTime       string              `xml:"launchTime"`
	Placement        placementXML        `xml:"placement"`
	Platform         string              `xml:"platform,omitempty"`
	Monitoring       monitoringXML       `xml:"monitoring"`
	PrivateIP        string              `xml:"privateIpAddress,omitempty"`
	PublicIP         string              `xml:"ipAddress,omitempty"`
	SourceDestCheck  bool                `xml:"sourceDestCheck"`
	StateReason      *reasonXML          `xml:"stateReason,omitempty"`
	Architecture     string              `xml:"architecture"`
	RootDeviceType   string              `xml:"rootDeviceType"`
	RootDeviceName   string              `xml:"rootDeviceName"`
	Devices          list[attachedXML]   `xml:"blockDeviceMapping"`
	Virtualization   string              `xml:"virtualizationType"`
	Lifecycle        string              `xml:"instanceLifecycle,omitempty"`
	SpotRequest      string              `xml:"spotInstanceRequestId,omitempty"`
	ClientToken      string              `xml:"clientToken"`
	Tags             *list[tagXML]       `xml:"tagSet,omitempty"`
	Hypervisor       string              `xml:"hypervisor"`
	Profile          *profileXML         `xml:"iamInstanceProfile,omitempty"`
	EBSOptimized     bool                `xml:"ebsOptimized"`
	ENASupport       bool                `xml:"enaSupport"`
	MetadataOptions  *metadataOptionsXML `xml:"metadataOptions,omitempty"`
	PlatformDetails  string              `xml:"platformDetails"`
	UsageOperation   string              `xml:"usageOperation"`
	CurrentBootModes string              `xml:"currentInstanceBootMode"`
}

type reservationXML struct {
	ReservationID string            `xml:"reservationId"`
	OwnerID       string            `xml:"ownerId"`
	Groups        list[string]      `xml:"groupSet"`
	Instances     list[instanceXML] `xml:"instancesSet"`
	seq           int
}

type describeInstancesAnswer struct {
	answer
	Reservations list[reservationXML] `xml:"reservationSet"`
	NextToken    string               `xml:"nextToken,omitempty"`
}

func describeInstances(r *request) (reply, *Error) {
	ids := r.params.list("InstanceId")
	if len(ids) > 0 && r.params.has("MaxResults") {
		return nil, errorf("InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults")
	}
	rows, err := r.region.instances.named(ids)
	if err != nil {
		return nil, err
	}
	if rows, err = r.region.instances.filtered(r.params, rows); err != nil {
		return nil, err
	}
	all, token, err := page(r, reservations(r, rows), func(x reservationXML) int { return x.seq }, 5, 1000)
	if err != nil {
		return nil, err
	}
	return &describeInstancesAnswer{Reservations: listOf(all), NextToken: token}, nil
}

// reservations groups instances by the request that launched them.
func reservations(r *request, rows []*instance) []reservationXML {
	var all []reservationXML
	for _, i := range rows {
		n := slices.IndexFunc(all, func(x reservationXML) bool { return x.ReservationID == i.reservation })
		if n < 0 {
			n = len(all)
			all = append(all, reservationXML{ReservationID: i.reservation, OwnerID: r.server.opts.AccountID, seq: i.seq})
		}
		all[n].Instances.Items = append(all[n].Instances.Items, r.instanceXML(i))
	}
	return all
}

func (r *request) instanceXML(i *instance) instanceXML {
	x := instanceXML{
		InstanceID: i.ID, ImageID: i.ImageID, State: stateOf(i.State), Reason: i.TransitionReason,
		KeyName: i.KeyName, LaunchIndex: i.launchIndex, InstanceType: i.Type, LaunchTime: formatTime(i.LaunchTime),
		Placement: placementXML{Zone: i.AvailabilityZone, Tenancy: "default"}, Monitoring: monitoringXML{"disabled"},
		SourceDestCheck: i.behaviors["SourceDestCheck"] != "false", Architecture: i.Architecture,
		RootDeviceType: i.RootDeviceType, RootDeviceName: i.RootDeviceName, Virtualization: "hvm",
		Lifecycle: i.Lifecycle, ClientToken: i.token, Tags: tagSet(i.labels), Hypervisor: "xen",
		EBSOptimized: i.behaviors["EbsOptimized"] == "true", ENASupport: i.behaviors["EnaSupport"] != "false",
		PlatformDetails: "Linux/UNIX", UsageOperation: "RunInstances", CurrentBootModes: "legacy-bios",
	}
	if i.Platform == "windows" {
		x.Platform, x.PlatformDetails, x.UsageOperation = "windows", "Windows", "RunInstances:0002"
	}
	if i.StateReasonCode != "" {
		x.StateReason = &reasonXML{i.StateReasonCode, i.StateReasonMessage}
	}
	if i.Lifecycle == "spot" {
		x.SpotRequest = i.spotRequest()
	}
	if i.State == StateTerminated {
		x.Monitoring.State = "disabled"
		return x
	}
	x.PrivateIP, x.PublicIP = i.PrivateIP, i.publicIP()
	x.PrivateDNSName = dnsName("ip-", x.PrivateIP, internalDomain(i.Region))
	if x.PublicIP != "" {
		x.DNSName = dnsName("ec2-", x.PublicIP, publicDomain(i.Region))
	}
	x.MetadataOptions = i.metadata.xml()
	if i.Profile != "" {
		x.Profile = &profileXML{Arn: i.Profile, ID: "AIPA" + strings.ToUpper(r.server.digest("profile", i.Profile)[:17])}
	}
	for _, v := range i.volumes {
		x.Devices.Items = append(x.Devices.Items, attachedXML{Device: v.Device, EBS: ebsAttachmentXML{
			VolumeID: v.ID, Status: "attached", AttachTime: formatTime(v.created), DeleteOnTermination: !v.KeepOnTermination,
		}})
	}
	return x
}

// xml shows the metadata options; what nobody has set has the API's default.
func (m metadataOptions) xml() *metadataOptionsXML {
	x := &metadataOptionsXML{State: "applied", HTTPTokens: m.tokens, HopLimit: m.hops, HTTPEndpoint: m.endpoint}
	if x.HTTPTokens == "" {
		x.HTTPTokens = "optional"
	}
	if x.HTTPEndpoint == "" {
		x.HTTPEndpoint = "enabled"
	}
	if x.HopLimit == 0 {
		x.HopLimit = 1
	}
	return x
}

func dnsName(prefix, ip, domain string) string {
	return prefix + strings.ReplaceAll(ip, ".", "-") + "." + domain
}

func internalDomain(region string) string {
	if region == DefaultRegion {
		return "ec2.internal"
	}
	return region + ".compute.internal"
}

func publicDomain(region string) string {
	if region == DefaultRegion {
		return "compute-1.amazonaws.com"
	}
	return region + ".compute.amazonaws.com"
}

type statusDetailXML struct {
	Name   string `xml:"name"`
	Status string `xml:"status"`
}

type statusXML struct {
	Status  string                `xml:"status"`
	Details list[statusDetailXML] `xml:"details"`
}

type instanceStatusXML struct {
	InstanceID     string    `xml:"instanceId"`
	Zone           string    `xml:"availabilityZone"`
	State          stateXML  `xml:"instanceState"`
	SystemStatus   statusXML `xml:"systemStatus"`
	InstanceStatus statusXML `xml:"instanceStatus"`
}

type describeInstanceStatusAnswer struct {
	answer
	Statuses  list[instanceStatusXML] `xml:"instanceStatusSet"`
	NextToken string                  `xml:"nextToken,omitempty"`
}

func describeInstanceStatus(r *request) (reply, *Error) {
	all, err := r.params.boolean("IncludeAllInstances")
	if err != nil {
		return nil, err
	}
	rows, err := r.region.instances.named(r.params.list("InstanceId"))
	if err != nil {
		return nil, err
	}
	if rows, err = r.region.instances.filtered(r.params, rows); err != nil {
		return nil, err
	}
	if !all {
		rows = slices.DeleteFunc(slices.Clone(rows), func(i *instance) bool { return i.State != StateRunning })
	}
	rows, token, err := page(r, rows, (*instance).number, 5, 1000)
	if err != nil {
		return nil, err
	}
	out := &describeInstanceStatusAnswer{NextToken: token}
	for _, i := range rows {
		status := statusXML{Status: "not-applicable"}
		if i.State == StateRunning {
			status = statusXML{Status: "ok", Details: listOf([]statusDetailXML{{"reachability", "passed"}})}
			if r.now.Before(i.started.Add(r.server.timing.StatusChecks)) {
				status = statusXML{Status: "initializing", Details: listOf([]statusDetailXML{{"reachability", "initializing"}})}
			}
		}
		out.Statuses.Items = append(out.Statuses.Items, instanceStatusXML{
			InstanceID: i.ID, Zone: i.AvailabilityZone, State: stateOf(i.State), SystemStatus: status, InstanceStatus: status,
		})
	}
	return out, nil
}

type instanceAttributeAnswer struct {
	answer
	InstanceID            string             `xml:"instanceId"`
	ShutdownBehavior      *wrapped           `xml:"instanceInitiatedShutdownBehavior,omitempty"`
	DisableAPITermination *wrapped           `xml:"disableApiTermination,omitempty"`
	DisableAPIStop        *wrapped           `xml:"disableApiStop,omitempty"`
	UserData              *wrapped           `xml:"userData,omitempty"`
	InstanceType          *wrapped           `xml:"instanceType,omitempty"`
	RootDeviceName        *wrapped           `xml:"rootDeviceName,omitempty"`
	EnaSupport            *wrapped           `xml:"enaSupport,omitempty"`
	SriovNetSupport       *wrapped           `xml:"sriovNetSupport,omitempty"`
	EBSOptimized          *wrapped           `xml:"ebsOptimized,omitempty"`
	SourceDestCheck       *wrapped           `xml:"sourceDestCheck,omitempty"`
	Devices               *list[attachedXML] `xml:"blockDeviceMapping,omitempty"`
}

func describeInstanceAttribute(r *request) (reply, *Error) {
	i, err := r.region.instances.one(r.params.get("InstanceId"))
	if err != nil {
		return nil, err
	}
	stored := func(name, fallback string) *wrapped {
		if value, ok := i.behaviors[name]; ok {
			return &wrapped{value}
		}
		return &wrapped{fallback}
	}
	out := &instanceAttributeAnswer{InstanceID: i.ID}
	switch attribute := r.params.get("Attribute"); attribute {
	case "instanceInitiatedShutdownBehavior":
		out.ShutdownBehavior = &wrapped{i.ShutdownBehavior}
	case "disableApiTermination":
		out.DisableAPITermination = &wrapped{fmt.Sprint(i.DisableAPITermination)}
	case "disableApiStop":
		out.DisableAPIStop = stored("DisableApiStop", "false")
	case "userData":
		out.UserData = &wrapped{i.UserData}
	case "instanceType":
		out.InstanceType = &wrapped{i.Type}
	case "rootDeviceName":
		out.RootDeviceName = &wrapped{i.RootDeviceName}
	case "enaSupport":
		out.EnaSupport = stored("EnaSupport", "true")
	case "sriovNetSupport":
		out.SriovNetSupport = stored("SriovNetSupport", "")
	case "ebsOptimized":
		out.EBSOptimized = stored("EbsOptimized", "false")
	case "sourceDestCheck":
		out.SourceDestCheck = stored("SourceDestCheck", "true")
	case "blockDeviceMapping":
		devices := r.instanceXML(i).Devices
		out.Devices = &devices
	default:
		return nil, invalidValue("attribute", attribute, "Unknown attribute.")
	}
	return out, nil
}
