package ec2

import "strings"

// spotRequest is the id of the Spot request behind a Spot Instance.
func (i *instance) spotRequest() string {
	return spotRequestKind.prefix + i.ID[len(i.ID)-8:]
}

// spotRow is the Spot request of an instance.
type spotRow struct {
	row
	instance *instance
}

func (s *spotRow) key() string { return s.instance.spotRequest() }

func (s *spotRow) state() string {
	switch s.instance.State {
	case StateShuttingDown, StateTerminated:
		return "closed"
	}
	return "active"
}

func (s *spotRow) property(name string) ([]string, bool) {
	if s.instance == nil {
		s = &spotRow{instance: &instance{Instance: Instance{ID: strings.Repeat("0", 8)}}}
	}
	switch name {
	case "spot-instance-request-id":
		return []string{s.key()}, true
	case "instance-id":
		return []string{s.instance.ID}, true
	case "state":
		return []string{s.state()}, true
	}
	return nil, false
}

type spotStatusXML struct {
	Code       string `xml:"code"`
	Message    string `xml:"message"`
	UpdateTime string `xml:"updateTime"`
}

type spotRequestXML struct {
	ID         string        `xml:"spotInstanceRequestId"`
	Type       string        `xml:"type"`
	State      string        `xml:"state"`
	Status     spotStatusXML `xml:"status"`
	InstanceID string        `xml:"instanceId"`
	CreateTime string        `xml:"createTime"`
	Product    string        `xml:"productDescription"`
	Zone       string        `xml:"launchedAvailabilityZone"`
	Behavior   string        `xml:"instanceInterruptionBehavior"`
}

type describeSpotRequestsAnswer struct {
	answer
	Requests  list[spotRequestXML] `xml:"spotInstanceRequestSet"`
	NextToken string               `xml:"nextToken,omitempty"`
}

// describeSpotInstanceRequests answers with one one-time request for each Spot
// Instance.
func describeSpotInstanceRequests(r *request) (reply, *Error) {
	all := table[*spotRow]{kind: spotRequestKind, blank: &spotRow{}}
	for _, i := range r.region.instances.rows {
		if i.Lifecycle == "spot" {
			all.add(&spotRow{row: row{seq: i.seq}, instance: i})
		}
	}
	rows, err := all.named(r.params.list("SpotInstanceRequestId"))
	if err != nil {
		return nil, err
	}
	if rows, err = all.filtered(r.params, rows); err != nil {
		return nil, err
	}
	rows, token, err := page(r, rows, (*spotRow).number, 5, 1000)
	if err != nil {
		return nil, err
	}
	out := &describeSpotRequestsAnswer{NextToken: token}
	for _, s := range rows {
		x := spotRequestXML{
			ID: s.key(), Type: "one-time", State: s.state(), InstanceID: s.instance.ID,
			CreateTime: formatTime(s.instance.LaunchTime), Product: "Linux/UNIX", Zone: s.instance.AvailabilityZone, Behavior: "terminate",
			Status: spotStatusXML{"fulfilled", "Your Spot request is fulfilled.", formatTime(s.instance.LaunchTime)},
		}
		if s.instance.Platform == "windows" {
			x.Product = "Windows"
		}
		if x.State == "closed" {
			x.Status.Code, x.Status.Message = "instance-terminated-by-user", "Spot Instance terminated due to user-initiated termination."
		}
		out.Requests.Items = append(out.Requests.Items, x)
	}
	return out, nil
}
