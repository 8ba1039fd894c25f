package ec2

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

type stateXML struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

func stateOf(name string) stateXML { return stateXML{Code: stateCodes[name], Name: name} }

type stateChangeXML struct {
	InstanceID    string   `xml:"instanceId"`
	CurrentState  stateXML `xml:"currentState"`
	PreviousState stateXML `xml:"previousState"`
}

type stateChangeAnswer struct {
	answer
	Instances list[stateChangeXML] `xml:"instancesSet"`
}

// change checks all instances that a request names before it changes any, as
// EC2 does, and answers with their old and new states.
func change(r *request, check func(*instance) *Error, do func(*instance)) (reply, *Error) {
	rows, err := r.region.instances.named(r.params.list("InstanceId"))
	if err != nil {
		return nil, err
	}
	for _, i := range rows {
		if err := check(i); err != nil {
			return nil, err
		}
	}
	out := &stateChangeAnswer{}
	for _, i := range rows {
		before := i.State
		do(i)
		out.Instances.Items = append(out.Instances.Items, stateChangeXML{
			InstanceID: i.ID, CurrentState: stateOf(i.State), PreviousState: stateOf(before),
		})
	}
	return out, nil
}

func startInstances(r *request) (reply, *Error) {
	return change(r, func(i *instance) *Error {
		switch i.State {
		case StateStopped, StatePending, StateRunning:
			return nil
		}
		return errorf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be started.", i.ID)
	}, func(i *instance) {
		if i.State == StateStopped {
			r.server.launch(i, r.now)
		}
	})
}

func stopInstances(r *request) (reply, *Error) {
	return change(r, func(i *instance) *Error {
		switch {
		case i.RootDeviceType != "ebs":
			return errorf("UnsupportedOperation", "The instance '%s' does not have an 'ebs' root device type and cannot be stopped.", i.ID)
		case i.Lifecycle == "spot":
			return errorf("UnsupportedOperation", "You can't stop the Spot Instance '%s' because it is associated with a one-time Spot Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests.", i.ID)
		case i.State == StatePending && !i.everRan:
			return errorf("IncorrectInstanceState", "Instance '%s' cannot be stopped as it has never reached the 'running' state.", i.ID)
		case i.State == StateShuttingDown || i.State == StateTerminated:
			return errorf("IncorrectInstanceState", "This instance '%s' is not in a state from which it can be stopped.", i.ID)
		}
		return nil
	}, func(i *instance) {
		if i.State == StateRunning || i.State == StatePending {
			r.server.end(i, false, ReasonUser, r.now, r.server.timing.Stop)
		}
	})
}

func terminateInstances(r *request) (reply, *Error) {
	return change(r, func(i *instance) *Error {
		if i.DisableAPITermination && i.State != StateTerminated {
			return errorf("OperationNotPermitted", "The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.", i.ID)
		}
		return nil
	}, func(i *instance) {
		switch i.State {
		case StateTerminated, StateShuttingDown:
		case StateStopped:
			r.server.end(i, true, ReasonUser, r.now, 0)
			r.server.advance(i, r.now)
		default:
			r.server.end(i, true, ReasonUser, r.now, r.server.timing.Terminate)
		}
	})
}

func rebootInstances(r *request) (reply, *Error) {
	_, err := change(r, func(i *instance) *Error {
		if i.State != StateRunning && i.State != StatePending {
			return errorf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be rebooted.", i.ID)
		}
		return nil
	}, func(i *instance) {
		if i.State == StateRunning {
			r.server.reboot(i)
		}
	})
	if err != nil {
		return nil, err
	}
	return done(), nil
}

// fingerprint is what two requests with the same client token must have in
// common.
func fingerprint(p params) string {
	values := maps.Clone(p.values)
	values.Del("ClientToken")
	return values.Encode()
}

// once returns the id that an earlier request with the same client token made.
func (r *request) once() (string, *Error) {
	token := r.params.get("ClientToken")
	if token == "" {
		return "", nil
	}
	earlier, ok := r.server.tokens[r.region.name+"/"+r.action+"/"+token]
	switch {
	case !ok:
		return "", nil
	case earlier.params != fingerprint(r.params):
		return "", errorf("IdempotentParameterMismatch", "The client token %s was used with other parameters", token)
	}
	return earlier.id, nil
}

func (r *request) remember(id string) {
	if token := r.params.get("ClientToken"); token != "" {
		r.server.tokens[r.region.name+"/"+r.action+"/"+token] = idempotent{params: fingerprint(r.params), id: id}
	}
}

type runInstancesAnswer struct {
	answer
	reservationXML
}

func runInstances(r *request) (reply, *Error) {
	most, err := r.params.number("MaxCount", 0)
	if err != nil {
		return nil, err
	}
	least, err := r.params.number("MinCount", 0)
	if err != nil {
		return nil, err
	}
	if least < 1 || most < least || most > 20 {
		return nil, errorf("InvalidParameterValue", "Value (%d) for parameter maxCount is invalid. Expecting 1 to 20, at least minCount.", most)
	}
	reservation, err := r.once()
	if err != nil {
		return nil, err
	}
	if reservation == "" {
		if reservation, err = r.runNew(most); err != nil {
			return nil, err
		}
		r.remember(reservation)
	}
	out := &runInstancesAnswer{}
	for _, res := range reservations(r, slices.Clone(r.region.instances.rows)) {
		if res.ReservationID == reservation {
			out.reservationXML = res
		}
	}
	return out, nil
}

func (r *request) runNew(count int) (string, *Error) {
	im, err := r.region.images.one(r.params.get("ImageId"))
	if err != nil {
		return "", err
	}
	if im.State != ImageAvailable {
		return "", errorf("InvalidAMIID.Unavailable", "The image ID '%s' is not available", im.ID)
	}
	tags, err := readTagSpecifications(r.params, "instance", "volume", "network-interface", "spot-instances-request")
	if err != nil {
		return "", err
	}
	in := Instance{
		Region: r.region.name, ImageID: im.ID, Type: r.params.get("InstanceType"),
		AvailabilityZone: r.params.get("Placement.AvailabilityZone"), PrivateIP: r.params.get("PrivateIpAddress"),
		KeyName: r.params.get("KeyName"), Platform: im.Platform, Architecture: im.Architecture,
		RootDeviceName: im.RootDeviceName, RootDeviceType: im.RootDeviceType,
		ShutdownBehavior: r.params.get("InstanceInitiatedShutdownBehavior"), UserData: r.params.get("UserData"),
		Profile: r.params.get("IamInstanceProfile.Arn"), Tags: tags["instance"], Volumes: []Volume{},
	}
	if name := r.params.get("IamInstanceProfile.Name"); name != "" {
		in.Profile = "arn:" + partition(r.region.name) + ":iam::" + r.server.opts.AccountID + ":instance-profile/" + name
	}
	if in.ShutdownBehavior != "" && in.ShutdownBehavior != "stop" && in.ShutdownBehavior != "terminate" {
		return "", invalidValue("instanceInitiatedShutdownBehavior", in.ShutdownBehavior, "Expecting stop or terminate.")
	}
	if in.DisableAPITermination, err = r.params.boolean("DisableApiTermination"); err != nil {
		return "", err
	}
	metadata, err := readMetadataOptions(r.params.under("MetadataOptions"), im.IMDSSupport)
	if err != nil {
		return "", err
	}
	if r.params.get("InstanceMarketOptions.MarketType") == "spot" {
		in.Lifecycle = "spot"
	}
	mappings, err := readMappings(r.params)
	if err != nil {
		return "", err
	}
	for _, m := range overlay(im.Mappings, mappings) {
		if m.VirtualName == "" {
			if snap, ok := r.region.snapshots.find(m.SnapshotID); ok && m.KMSKeyID == "" {
				m.KMSKeyID = snap.KMSKeyID // a volume has its snapshot's key
			}
			in.Volumes = append(in.Volumes, Volume{
				Device: m.Device, Size: m.Size, Type: m.Type, IOPS: m.IOPS, Throughput: m.Throughput, Encrypted: m.Encrypted,
				KMSKeyID: m.KMSKeyID, SnapshotID: m.SnapshotID, KeepOnTermination: m.KeepOnTermination, Tags: tags["volume"],
			})
		}
	}
	reservation := ""
	for n := range count {
		i := r.server.newInstance(in, r.now, r.server.hideNew)
		if reservation == "" {
			reservation = i.reservation
		}
		i.reservation, i.launchIndex, i.token = reservation, n, r.params.get("ClientToken")
		i.metadata = metadata
		r.server.boot(i, r.now)
	}
	im.launched = r.now
	return reservation, nil
}

// readMetadataOptions reads what a request says about the metadata service. An
// image with IMDS support v2.0 brings tokens and a limit of two hops along.
func readMetadataOptions(p params, imdsSupport string) (metadataOptions, *Error) {
	var m metadataOptions
	if imdsSupport == "v2.0" {
		m = metadataOptions{tokens: "required", hops: 2}
	}
	for _, field := range []struct {
		name    string
		value   *string
		allowed []string
	}{
		{"HttpTokens", &m.tokens, []string{"optional", "required"}},
		{"HttpEndpoint", &m.endpoint, []string{"disabled", "enabled"}},
	} {
		if given := p.get(field.name); given != "" {
			if !slices.Contains(field.allowed, given) {
				return m, invalidValue(field.name, given, "Expecting "+strings.Join(field.allowed, " or ")+".")
			}
			*field.value = given
		}
	}
	var err *Error
	m.hops, err = p.number("HttpPutResponseHopLimit", m.hops)
	return m, err
}

// boot starts a new instance, after its machine was asked for.
func (s *Server) boot(i *instance, now time.Time) {
	s.launch(i, now)
	if s.opts.Launch == nil {
		return
	}
	described := i.describe()
	s.effect(func() {
		machine := s.opts.Launch(described)
		s.mu.Lock()
		defer s.mu.Unlock()
		if i.Machine = machine; machine == nil {
			return
		}
		switch i.State {
		case StatePending:
			s.arm(i, i.until)
		case StateRunning:
			s.powerOn(i)
		}
	})
}

var modifiable = []string{
	"InstanceInitiatedShutdownBehavior", "DisableApiTermination", "UserData", "InstanceType",
	"EnaSupport", "SriovNetSupport", "DisableApiStop", "EbsOptimized", "SourceDestCheck",
}

func modifyInstanceAttribute(r *request) (reply, *Error) {
	i, err := r.region.instances.one(r.params.get("InstanceId"))
	if err != nil {
		return nil, err
	}
	name, value := "", ""
	for _, candidate := range modifiable {
		p := candidate
		if !r.params.has(p) {
			p += ".Value"
		}
		if !r.params.has(p) {
			continue
		}
		if name != "" {
			return nil, errorf("InvalidParameterCombination", "Fields for multiple attribute types specified: %s, %s", name, candidate)
		}
		name, value = candidate, r.params.get(p)
	}
	if attribute := r.params.get("Attribute"); attribute != "" {
		name, value = strings.ToUpper(attribute[:1])+attribute[1:], r.params.get("Value")
	}
	if !slices.Contains(modifiable, name) {
		return nil, errorf("InvalidParameterCombination", "No attributes specified.")
	}
	if slices.Contains([]string{"UserData", "InstanceType", "EnaSupport", "SriovNetSupport", "EbsOptimized"}, name) && i.State != StateStopped {
		return nil, errorf("IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", i.ID)
	}
	switch name {
	case "InstanceInitiatedShutdownBehavior":
		if value != "stop" && value != "terminate" {
			return nil, invalidValue("instanceInitiatedShutdownBehavior", value, "Expecting stop or terminate.")
		}
		i.ShutdownBehavior = value
	case "DisableApiTermination":
		flag, flagErr := (params{values: url.Values{name: {value}}}).boolean(name)
		if flagErr != nil {
			return nil, flagErr
		}
		i.DisableAPITermination = flag
	case "UserData":
		i.UserData = value
	case "InstanceType":
		i.Type = value
	default:
		i.behaviors[name] = fmt.Sprint(value)
	}
	return done(), nil
}
