package ec2

import (
	"slices"
	"strings"
	"time"
)

type permissionXML struct {
	UserID                string `xml:"userId,omitempty"`
	Group                 string `xml:"group,omitempty"`
	OrganizationArn       string `xml:"organizationArn,omitempty"`
	OrganizationalUnitArn string `xml:"organizationalUnitArn,omitempty"`
}

func permissionsXML(all []Permission) *list[permissionXML] {
	out := &list[permissionXML]{}
	for _, p := range all {
		out.Items = append(out.Items, permissionXML(p))
	}
	return out
}

type imageAttributeAnswer struct {
	answer
	ImageID           string               `xml:"imageId"`
	LaunchPermissions *list[permissionXML] `xml:"launchPermission,omitempty"`
	Description       *wrapped             `xml:"description,omitempty"`
	Mappings          *list[mappingXML]    `xml:"blockDeviceMapping,omitempty"`
	BootMode          *wrapped             `xml:"bootMode,omitempty"`
	TPMSupport        *wrapped             `xml:"tpmSupport,omitempty"`
	IMDSSupport       *wrapped             `xml:"imdsSupport,omitempty"`
	SriovNetSupport   *wrapped             `xml:"sriovNetSupport,omitempty"`
	LastLaunched      *wrapped             `xml:"lastLaunchedTime,omitempty"`
	Protection        *wrapped             `xml:"deregistrationProtection,omitempty"`
}

// ownImage returns an image that the caller may change.
func (r *request) ownImage() (*image, *Error) {
	im, err := r.region.images.one(r.params.get("ImageId"))
	if err != nil {
		return nil, err
	}
	if im.OwnerID != r.server.opts.AccountID {
		return nil, errorf("AuthFailure", "Not authorized for image:%s", im.ID)
	}
	return im, nil
}

func describeImageAttribute(r *request) (reply, *Error) {
	im, err := r.ownImage()
	if err != nil {
		return nil, err
	}
	out := &imageAttributeAnswer{ImageID: im.ID}
	switch attribute := r.params.get("Attribute"); attribute {
	case "launchPermission":
		out.LaunchPermissions = permissionsXML(im.LaunchPermissions)
	case "description":
		out.Description = &wrapped{im.Description}
	case "blockDeviceMapping":
		mappings := im.mappingsXML(r.now)
		out.Mappings = &mappings
	case "bootMode":
		out.BootMode = &wrapped{im.BootMode}
	case "tpmSupport":
		out.TPMSupport = &wrapped{im.TPMSupport}
	case "imdsSupport":
		out.IMDSSupport = &wrapped{im.IMDSSupport}
	case "sriovNetSupport":
		out.SriovNetSupport = &wrapped{"simple"}
	case "lastLaunchedTime":
		out.LastLaunched = &wrapped{}
		if !im.launched.IsZero() {
			out.LastLaunched.Value = formatTime(im.launched)
		}
	case "deregistrationProtection":
		out.Protection = &wrapped{im.DeregistrationProtection}
	default:
		return nil, invalidValue("attribute", attribute, "Unknown attribute.")
	}
	return out, nil
}

// readPermissions reads the permissions below prefix.n.
func readPermissions(p params, prefix string) ([]Permission, *Error) {
	var all []Permission
	for _, x := range p.structs(prefix) {
		all = append(all, Permission{
			UserID: x.get("UserId"), Group: x.get("Group"),
			OrganizationArn: x.get("OrganizationArn"), OrganizationalUnitArn: x.get("OrganizationalUnitArn"),
		})
	}
	return all, checkPermissions(all)
}

func checkPermissions(all []Permission) *Error {
	for _, p := range all {
		switch {
		case p.UserID != "" && (len(p.UserID) != 12 || strings.Trim(p.UserID, "0123456789") != ""):
			return errorf("InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for userId item type.", p.UserID)
		case p.Group != "" && p.Group != "all":
			return errorf("InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for group item type.", p.Group)
		case p.OrganizationArn != "" && !strings.Contains(p.OrganizationArn, ":organization/"):
			return errorf("InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for organizationArn item type.", p.OrganizationArn)
		case p.OrganizationalUnitArn != "" && !strings.Contains(p.OrganizationalUnitArn, ":ou/"):
			return errorf("InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for organizationalUnitArn item type.", p.OrganizationalUnitArn)
		case p == Permission{}:
			return missingParameter("UserId")
		}
	}
	return nil
}

// readFlatPermissions reads the older form of a permission change: lists of
// users and groups with OperationType.
func readFlatPermissions(p params) (add, remove []Permission, err *Error) {
	var all []Permission
	for _, id := range p.list("UserId") {
		all = append(all, Permission{UserID: id})
	}
	for _, group := range p.list("UserGroup") {
		all = append(all, Permission{Group: group})
	}
	for _, arn := range p.list("OrganizationArn") {
		all = append(all, Permission{OrganizationArn: arn})
	}
	for _, arn := range p.list("OrganizationalUnitArn") {
		all = append(all, Permission{OrganizationalUnitArn: arn})
	}
	if len(all) == 0 {
		return nil, nil, nil
	}
	if err := checkPermissions(all); err != nil {
		return nil, nil, err
	}
	switch operation := p.get("OperationType"); operation {
	case "add":
		return all, nil, nil
	case "remove":
		return nil, all, nil
	default:
		return nil, nil, invalidValue("operationType", operation, "Expecting add or remove.")
	}
}

// changePermissions reads a change in either form and applies it.
func changePermissions(p params, name string, have []Permission) (result []Permission, changed bool, err *Error) {
	add, err := readPermissions(p, name+".Add")
	if err != nil {
		return nil, false, err
	}
	remove, err := readPermissions(p, name+".Remove")
	if err != nil {
		return nil, false, err
	}
	flatAdd, flatRemove, err := readFlatPermissions(p)
	if err != nil {
		return nil, false, err
	}
	add, remove = append(add, flatAdd...), append(remove, flatRemove...)
	result = slices.DeleteFunc(slices.Clone(have), func(h Permission) bool { return slices.Contains(remove, h) })
	for _, a := range add {
		if !slices.Contains(result, a) {
			result = append(result, a)
		}
	}
	return result, len(add)+len(remove) > 0, nil
}

func modifyImageAttribute(r *request) (reply, *Error) {
	im, err := r.ownImage()
	if err != nil {
		return nil, err
	}
	permissions, permitted, err := changePermissions(r.params, "LaunchPermission", im.LaunchPermissions)
	if err != nil {
		return nil, err
	}
	var set []func()
	value := func(name, attribute string) (string, bool) {
		if r.params.get("Attribute") == attribute && r.params.has("Value") {
			return r.params.get("Value"), true
		}
		return r.params.get(name + ".Value"), r.params.has(name + ".Value")
	}
	if permitted {
		if im.State != ImageAvailable {
			return nil, errorf("InvalidAMIID.Unavailable", "The image ID '%s' is not available", im.ID)
		}
		set = append(set, func() {
			im.LaunchPermissions = permissions
			im.Public = slices.Contains(permissions, Permission{Group: "all"})
		})
	}
	if text, ok := value("Description", "description"); ok {
		set = append(set, func() { im.Description = text })
	}
	if support, ok := value("ImdsSupport", "imdsSupport"); ok {
		if support != "v2.0" {
			return nil, invalidValue("imdsSupport", support, "Expecting v2.0.")
		}
		set = append(set, func() { im.IMDSSupport = support })
	}
	switch len(set) {
	case 0:
		return nil, errorf("InvalidParameterCombination", "No attributes specified.")
	case 1:
		set[0]()
		return done(), nil
	}
	return nil, errorf("InvalidParameterCombination", "Only one attribute can be modified at a time.")
}

type deregisterAnswer struct {
	answer
	Return  string                 `xml:"return"`
	Deleted *list[snapshotGoneXML] `xml:"deleteSnapshotResultSet,omitempty"`
}

type snapshotGoneXML struct {
	SnapshotID string `xml:"snapshotId"`
	ReturnCode string `xml:"returnCode"`
}

func deregisterImage(r *request) (reply, *Error) {
	im, err := r.ownImage()
	if err != nil {
		return nil, err
	}
	if im.DeregistrationProtection != "disabled" {
		return nil, errorf("OperationNotPermitted", "The image '%s' is protected from deregistration. Disable its deregistration protection and try again.", im.ID)
	}
	withSnapshots, err := r.params.boolean("DeleteAssociatedSnapshots")
	if err != nil {
		return nil, err
	}
	r.region.images.remove(im.ID)
	out := &deregisterAnswer{Return: "true"}
	if withSnapshots {
		out.Deleted = &list[snapshotGoneXML]{}
		for _, m := range im.Mappings {
			if m.SnapshotID == "" {
				continue
			}
			code := "success"
			if r.region.userOf(m.SnapshotID) != nil {
				code = "skipped"
			} else {
				r.region.snapshots.remove(m.SnapshotID)
			}
			out.Deleted.Items = append(out.Deleted.Items, snapshotGoneXML{m.SnapshotID, code})
		}
	}
	return out, nil
}

func enableImageDeprecation(r *request) (reply, *Error) {
	im, err := r.ownImage()
	if err != nil {
		return nil, err
	}
	text := r.params.get("DeprecateAt")
	at, parseErr := time.Parse(time.RFC3339, text)
	if parseErr != nil {
		return nil, invalidValue("DeprecateAt", text, "It must be a point in time.")
	}
	if !at.After(r.now) {
		return nil, invalidValue("DeprecateAt", text, "It must be in the future.")
	}
	// EC2 rounds the seconds to the nearest minute (API Reference).
	im.DeprecationTime = at.UTC().Round(time.Minute)
	return done(), nil
}

func disableImageDeprecation(r *request) (reply, *Error) {
	im, err := r.ownImage()
	if err != nil {
		return nil, err
	}
	im.DeprecationTime = time.Time{}
	return done(), nil
}

func enableImageDeregistrationProtection(r *request) (reply, *Error) {
	im, err := r.ownImage()
	if err != nil {
		return nil, err
	}
	cooldown, err := r.params.boolean("WithCooldown")
	if err != nil {
		return nil, err
	}
	im.DeregistrationProtection = "enabled-without-cooldown"
	if cooldown {
		im.DeregistrationProtection = "enabled-with-cooldown"
	}
	return done(), nil
}

func disableImageDeregistrationProtection(r *request) (reply, *Error) {
	im, err := r.ownImage()
	if err != nil {
		return nil, err
	}
	im.DeregistrationProtection = "disabled"
	return done(), nil
}
