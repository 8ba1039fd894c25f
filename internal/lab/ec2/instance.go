package ec2

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The states of an instance.
const (
	StatePending      = "pending"
	StateRunning      = "running"
	StateShuttingDown = "shutting-down"
	StateTerminated   = "terminated"
	StateStopping     = "stopping"
	StateStopped      = "stopped"
)

// stateCodes are the numbers of the states (API Reference, InstanceState).
var stateCodes = map[string]int{
	StatePending: 0, StateRunning: 16, StateShuttingDown: 32, StateTerminated: 48, StateStopping: 64, StateStopped: 80,
}

// The codes of a StateReason that says who ended an instance.
const (
	ReasonUser  = "Client.UserInitiatedShutdown"
	ReasonGuest = "Client.InstanceInitiatedShutdown"
)

// Instance describes an instance: what [Server.AddInstance] is to add, and what
// [Server.Instance] found.
type Instance struct {
	// ID is the instance's id. Default: a new one.
	ID string
	// Region is where it lives. Default [DefaultRegion].
	Region string
	// ImageID is the image it was launched from. Default: an id of no image.
	ImageID string
	// Type is the instance type. Default t3.large.
	Type string
	// AvailabilityZone defaults to the region's zone a.
	AvailabilityZone string
	// PrivateIP defaults to an address in 10.0.0.0/8. PublicIP is optional; it
	// is not shown while the instance is stopped.
	PrivateIP, PublicIP string
	// KeyName is the key pair's name, optional.
	KeyName string
	// Platform is "windows" (default) or "linux".
	Platform string
	// Architecture defaults to x86_64.
	Architecture string
	// RootDeviceName defaults to /dev/sda1, RootDeviceType to ebs; the other
	// type is instance-store.
	RootDeviceName, RootDeviceType string
	// Lifecycle is empty, or "spot" for a one-time Spot Instance.
	Lifecycle string
	// ShutdownBehavior is instanceInitiatedShutdownBehavior: "stop" (default)
	// or "terminate".
	ShutdownBehavior string
	// State defaults to running. Only running and stopped can be added.
	State string
	// StateReasonCode and StateReasonMessage say why the state was entered,
	// TransitionReason is StateTransitionReason.
	StateReasonCode, StateReasonMessage, TransitionReason string
	// LaunchTime is the time of the last start. Default: now.
	LaunchTime time.Time
	// UserData is the user data as base64, as the API takes it.
	UserData string
	// DisableAPITermination protects the instance from TerminateInstances.
	DisableAPITermination bool
	// Profile is the ARN of the IAM instance profile, optional.
	Profile string
	// Tags are the instance's tags; those that AWS sets, such as
	// aws:autoscaling:groupName, can be given here.
	Tags map[string]string
	// Volumes are the attached volumes. Default for an ebs root: one gp3
	// volume of 30 GiB at RootDeviceName, unencrypted, deleted on
	// termination.
	Volumes []Volume
	// Machine is what the instance runs on, optional. That of an instance
	// added as running is taken to be on.
	Machine Machine
}

// instance is an instance in its region.
type instance struct {
	row
	Instance
	reservation string
	launchIndex int
	token       string
	metadata    metadataOptions
	behaviors   map[string]string // attributes that are stored and shown only
	// next is the state that follows at the moment until.
	until time.Time
	next  string
	// started is when it became running, ended when it was terminated.
	started, ended time.Time
	everRan        bool
	powered        bool
	volumes        []*volume
	posts          []consolePost
}

// metadataOptions say how an instance answers on its metadata service.
type metadataOptions struct {
	tokens, endpoint string
	hops             int
}

// AddInstance adds an instance that somebody has launched earlier, and returns
// its id. An error says that the id is malformed or taken, or that the state is
// not one that lasts.
func (s *Server) AddInstance(in Instance) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.State == "" {
		in.State = StateRunning
	}
	if in.State != StateRunning && in.State != StateStopped {
		return "", fmt.Errorf("adding instance %s: state %s does not last, want running or stopped", in.ID, in.State)
	}
	if in.ID != "" {
		if err := instanceKind.check(in.ID); err != nil {
			return "", fmt.Errorf("adding an instance: %w", err)
		}
		if _, reg := s.locate(in.ID); reg != nil {
			return "", fmt.Errorf("adding instance %s: it exists in %s", in.ID, reg.name)
		}
	}
	i := s.newInstance(in, s.Now(), 0)
	if i.State == StateRunning {
		i.started, i.everRan, i.powered = i.LaunchTime, true, true
	}
	return i.ID, nil
}

// newInstance completes a description and puts it into its region. The lock is
// held.
func (s *Server) newInstance(in Instance, now time.Time, hidden int) *instance {
	reg := s.region(in.Region)
	in.Region = reg.name
	fill := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	if in.ID == "" {
		in.ID = s.newID(instanceKind.prefix)
	}
	i := &instance{row: s.newRow(hidden), reservation: s.newID("r-"), behaviors: map[string]string{}}
	fill(&in.ImageID, s.newID(imageKind.prefix))
	fill(&in.Type, "t3.large")
	fill(&in.AvailabilityZone, reg.name+"a")
	fill(&in.PrivateIP, fmt.Sprintf("10.0.%d.%d", i.seq/250%250, i.seq%250+4))
	fill(&in.Platform, "windows")
	fill(&in.Architecture, "x86_64")
	fill(&in.RootDeviceName, "/dev/sda1")
	fill(&in.RootDeviceType, "ebs")
	fill(&in.ShutdownBehavior, "stop")
	if in.LaunchTime.IsZero() {
		in.LaunchTime = now
	}
	in.LaunchTime = in.LaunchTime.UTC().Truncate(time.Second)
	if in.Volumes == nil && in.RootDeviceType == "ebs" {
		in.Volumes = []Volume{{Device: in.RootDeviceName}}
	}
	i.setTags(in.Tags)
	for _, v := range in.Volumes {
		i.volumes = append(i.volumes, s.newVolume(reg, v, in, now, hidden))
	}
	in.Tags, in.Volumes = nil, nil // kept in the row and in the region
	i.Instance = in
	reg.instances.add(i)
	return i
}

// locate finds an instance in any region. The lock is held.
func (s *Server) locate(id string) (*instance, *region) {
	for _, reg := range s.regions {
		if i, ok := reg.instances.find(id); ok {
			return i, reg
		}
	}
	return nil, nil
}

// Instance returns an instance as it is now, and whether there is one.
func (s *Server) Instance(id string) (Instance, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(s.Now())
	i, _ := s.locate(id)
	if i == nil {
		return Instance{}, false
	}
	return i.describe(), true
}

// describe returns a copy that shares nothing with the server.
func (i *instance) describe() Instance {
	in := i.Instance
	in.Tags = maps.Clone(i.labels)
	for _, v := range i.volumes {
		in.Volumes = append(in.Volumes, v.describe())
	}
	return in
}

// GuestShutdown tells the server that an instance's guest has shut itself
// down: the instance stops or is terminated, as its shutdown behavior says. It
// does nothing unless the instance is running.
func (s *Server) GuestShutdown(id string) {
	s.mu.Lock()
	now := s.Now()
	s.settle(now)
	if i, _ := s.locate(id); i != nil && i.State == StateRunning {
		i.powered = false
		s.end(i, i.ShutdownBehavior == "terminate", ReasonGuest, now, s.timing.GuestStop)
	}
	s.mu.Unlock()
	s.drain()
}

// end begins to stop or to terminate an instance.
func (s *Server) end(i *instance, terminate bool, reason string, now time.Time, takes time.Duration) {
	i.StateReasonCode, i.TransitionReason = reason, ""
	switch reason {
	case ReasonUser:
		i.StateReasonMessage = reason + ": User initiated shutdown"
		i.TransitionReason = "User initiated (" + now.UTC().Format("2006-01-02 15:04:05") + " GMT)"
	case ReasonGuest:
		i.StateReasonMessage = reason + ": Instance initiated shutdown"
	}
	s.powerOff(i)
	s.postConsole(i)
	if terminate {
		s.enter(i, StateShuttingDown, StateTerminated, now, takes)
	} else {
		s.enter(i, StateStopping, StateStopped, now, takes)
	}
}

// launch begins to start an instance.
func (s *Server) launch(i *instance, now time.Time) {
	i.LaunchTime = now.UTC().Truncate(time.Second)
	i.StateReasonCode, i.StateReasonMessage, i.TransitionReason = "pending", "pending", ""
	s.enter(i, StatePending, StateRunning, now, s.timing.Pending)
}

// enter puts an instance into a passing state.
func (s *Server) enter(i *instance, state, next string, now time.Time, takes time.Duration) {
	i.State, i.next, i.until = state, next, now.Add(takes)
	if next == StateRunning {
		s.arm(i, i.until)
	}
}

func (s *Server) settleInstances(reg *region, now time.Time) {
	for _, i := range reg.instances.rows {
		s.advance(i, now)
	}
	reg.instances.rows = slices.DeleteFunc(reg.instances.rows, func(i *instance) bool {
		return i.State == StateTerminated && now.After(i.ended.Add(s.timing.Forget))
	})
}

// advance moves an instance out of a passing state whose time is over.
func (s *Server) advance(i *instance, now time.Time) {
	if i.until.IsZero() || now.Before(i.until) {
		return
	}
	at := i.until
	i.State, i.until = i.next, time.Time{}
	switch i.State {
	case StateRunning:
		i.started, i.everRan = at, true
		i.StateReasonCode, i.StateReasonMessage = "", ""
		s.powerOn(i)
		s.postConsole(i)
	case StateTerminated:
		i.ended = at
		s.releaseVolumes(i)
	}
}

func (i *instance) key() string { return i.ID }

// property answers the filters of DescribeInstances.
func (i *instance) property(name string) ([]string, bool) {
	one := func(value string) ([]string, bool) {
		if value == "" {
			return nil, true
		}
		return []string{value}, true
	}
	switch name {
	case "instance-id":
		return one(i.ID)
	case "instance-state-name":
		return one(i.State)
	case "instance-state-code":
		return one(strconv.Itoa(stateCodes[i.State]))
	case "image-id":
		return one(i.ImageID)
	case "instance-type":
		return one(i.Type)
	case "availability-zone":
		return one(i.AvailabilityZone)
	case "private-ip-address":
		return one(i.PrivateIP)
	case "ip-address":
		return one(i.publicIP())
	case "key-name":
		return one(i.KeyName)
	case "platform":
		return one(strings.TrimPrefix(i.Platform, "linux"))
	case "architecture":
		return one(i.Architecture)
	case "root-device-name":
		return one(i.RootDeviceName)
	case "root-device-type":
		return one(i.RootDeviceType)
	case "instance-lifecycle":
		return one(i.Lifecycle)
	case "client-token":
		return one(i.token)
	case "reservation-id":
		return one(i.reservation)
	case "state-reason-code":
		return one(i.StateReasonCode)
	case "launch-time":
		return one(formatTime(i.LaunchTime))
	case "iam-instance-profile.arn":
		return one(i.Profile)
	case "block-device-mapping.volume-id":
		var ids []string
		for _, v := range i.volumes {
			ids = append(ids, v.ID)
		}
		return ids, true
	}
	return nil, false
}

// publicIP is the address as the API shows it: none while stopped.
func (i *instance) publicIP() string {
	if i.State == StatePending || i.State == StateRunning || i.State == StateStopping {
		return i.PublicIP
	}
	return ""
}
