package ec2

import (
	"slices"
	"strings"
)

// regionStatus is a region and whether an account has it without asking.
type regionStatus struct {
	name  string
	optIn bool
}

// regionNames are the regions of the commercial partition as the double knows
// them; those with optIn must be enabled by an account first, and are not.
var regionNames = []regionStatus{
	{"af-south-1", true},
	{"ap-east-1", true},
	{"ap-northeast-1", false},
	{"ap-northeast-2", false},
	{"ap-northeast-3", false},
	{"ap-south-1", false},
	{"ap-south-2", true},
	{"ap-southeast-1", false},
	{"ap-southeast-2", false},
	{"ca-central-1", false},
	{"eu-central-1", false},
	{"eu-central-2", true},
	{"eu-north-1", false},
	{"eu-south-1", true},
	{"eu-west-1", false},
	{"eu-west-2", false},
	{"eu-west-3", false},
	{"me-south-1", true},
	{"sa-east-1", false},
	{"us-east-1", false},
	{"us-east-2", false},
	{"us-west-1", false},
	{"us-west-2", false},
}

type regionXML struct {
	Name     string `xml:"regionName"`
	Endpoint string `xml:"regionEndpoint"`
	OptIn    string `xml:"optInStatus"`
}

type describeRegionsAnswer struct {
	answer
	Regions list[regionXML] `xml:"regionInfo"`
}

// regionRow is a region as DescribeRegions lists it.
type regionRow struct {
	row
	name, status string
}

func (g *regionRow) key() string { return g.name }

func (g *regionRow) endpoint() string { return "ec2." + g.name + ".amazonaws.com" }

func (g *regionRow) property(name string) ([]string, bool) {
	switch name {
	case "region-name":
		return []string{g.name}, true
	case "endpoint":
		return []string{g.endpoint()}, true
	case "opt-in-status":
		return []string{g.status}, true
	}
	return nil, false
}

func describeRegions(r *request) (reply, *Error) {
	all, err := r.params.boolean("AllRegions")
	if err != nil {
		return nil, err
	}
	names := r.params.list("RegionName")
	var missing []string
	for _, name := range names {
		if !slices.ContainsFunc(regionNames, func(known regionStatus) bool { return known.name == name }) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, errorf("InvalidParameterValue", "Invalid region names: '%s'", strings.Join(missing, ", "))
	}
	regions := table[*regionRow]{blank: &regionRow{}}
	for _, known := range regionNames {
		status := "opt-in-not-required"
		if known.optIn {
			status = "not-opted-in"
		}
		if len(names) > 0 && !slices.Contains(names, known.name) || len(names) == 0 && known.optIn && !all {
			continue
		}
		regions.add(&regionRow{name: known.name, status: status})
	}
	rows, err := regions.filtered(r.params, regions.rows)
	if err != nil {
		return nil, err
	}
	out := &describeRegionsAnswer{}
	for _, g := range rows {
		out.Regions.Items = append(out.Regions.Items, regionXML{g.name, g.endpoint(), g.status})
	}
	return out, nil
}
