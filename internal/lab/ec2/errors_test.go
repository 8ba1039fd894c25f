package ec2

import (
	"encoding/xml"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func unmarshal(w *httptest.ResponseRecorder, root *node) error {
	return xml.Unmarshal(w.Body.Bytes(), root)
}

// errorCode returns the code of an error answer after checking its form.
func errorCode(t *testing.T, w *httptest.ResponseRecorder, root *node) string {
	t.Helper()
	var found []string
	if err := unmarshal(w, root); err != nil {
		t.Fatal(err)
	}
	for _, child := range root.Children {
		found = append(found, child.XMLName.Local)
	}
	if root.XMLName.Local != "Response" || !slices.Equal(found, []string{"Errors", "RequestID"}) || len(root.Children[0].Children) != 1 {
		t.Fatalf("the error answer is %s", w.Body)
	}
	values := map[string]string{}
	for _, child := range root.Children[0].Children[0].Children {
		values[child.XMLName.Local] = child.Text
	}
	if !slices.Equal(slices.Sorted(maps.Keys(values)), []string{"Code", "Message"}) || values["Message"] == "" {
		t.Fatalf("the error answer is %s", w.Body)
	}
	return values["Code"]
}

func TestErrors(t *testing.T) {
	const known, gone = "i-0123456789abcdef0", "i-0123456789abcdef1"
	over := strings.Repeat("x", 129)
	for _, test := range []struct {
		name  string
		form  url.Values
		code  string
		state int
	}{
		{"an action that does not exist", form("DescribeUnicorns"), "InvalidAction", 400},
		{"a request without an action", url.Values{"Version": {apiVersion}}, "MissingParameter", 400},
		{"another version", url.Values{"Action": {"DescribeImages"}, "Version": {"2010-01-01"}}, "NoSuchVersion", 400},
		{"a parameter that the operation lacks", form("DescribeImages", "ImageIds.1=ami-00000001"), "UnknownParameter", 400},
		{"a required parameter that is missing", form("CreateImage", "InstanceId="+known), "MissingParameter", 400},
		{"a dry run", form("CreateImage", "InstanceId="+known, "Name=golden", "DryRun=true"), "DryRunOperation", 412},
		{"a flag that is none", form("CreateImage", "InstanceId="+known, "Name=golden", "NoReboot=maybe"), "InvalidParameterValue", 400},
		{"an instance that does not exist", form("DescribeInstances", "InstanceId.1="+gone), "InvalidInstanceID.NotFound", 400},
		{"an instance id that is none", form("StopInstances", "InstanceId.1=i-123"), "InvalidInstanceID.Malformed", 400},
		{"an image that does not exist", form("DescribeImages", "ImageId.1=ami-0123456789abcdef1"), "InvalidAMIID.NotFound", 400},
		{"an image id that is none", form("DeregisterImage", "ImageId=ami"), "InvalidAMIID.Malformed", 400},
		{"a snapshot that does not exist", form("DeleteSnapshot", "SnapshotId=snap-0123456789abcdef1"), "InvalidSnapshot.NotFound", 400},
		{"a name that is taken", form("CreateImage", "InstanceId="+known, "Name=taken"), "InvalidAMIName.Duplicate", 400},
		{"a name that is too short", form("CreateImage", "InstanceId="+known, "Name=ab"), "InvalidAMIName.Malformed", 400},
		{"a name that is too long", form("CreateImage", "InstanceId="+known, "Name="+over), "InvalidAMIName.Malformed", 400},
		{"a name with a colon", form("CreateImage", "InstanceId="+known, "Name=a:b:c"), "InvalidAMIName.Malformed", 400},
		{"a tag that AWS reserves", form("CreateTags", "ResourceId.1="+known, "Tag.1.Key=aws:x", "Tag.1.Value=y"), "InvalidParameterValue", 400},
		{"a tag key that is too long", form("CreateTags", "ResourceId.1="+known, "Tag.1.Key="+over, "Tag.1.Value=y"), "InvalidParameterValue", 400},
		{"a tag twice", form("CreateTags", "ResourceId.1="+known, "Tag.1.Key=a", "Tag.2.Key=a"), "InvalidParameterValue", 400},
		{"a tag on something else", form("CreateTags", "ResourceId.1=lt-1", "Tag.1.Key=a"), "InvalidID", 400},
		{"tags for something that is not made", form("CreateImage", "InstanceId="+known, "Name=golden", "TagSpecification.1.ResourceType=volume", "TagSpecification.1.Tag.1.Key=a"), "InvalidParameterValue", 400},
		{"an unknown filter", form("DescribeImages", "Filter.1.Name=colour", "Filter.1.Value.1=red"), "InvalidParameterValue", 400},
		{"a page that is too small", form("DescribeInstances", "MaxResults=1"), "InvalidParameterValue", 400},
		{"a page of named instances", form("DescribeInstances", "MaxResults=5", "InstanceId.1="+known), "InvalidParameterCombination", 400},
		{"a token of another action", form("DescribeInstances", "NextToken=RGVzY3JpYmVJbWFnZXM6MQ=="), "InvalidNextToken", 400},
		{"starting what is stopping", form("StartInstances", "InstanceId.1=i-0123456789abcdef2"), "IncorrectInstanceState", 400},
		{"stopping a Spot Instance", form("StopInstances", "InstanceId.1=i-0123456789abcdef3"), "UnsupportedOperation", 400},
		{"stopping an instance without EBS", form("StopInstances", "InstanceId.1=i-0123456789abcdef4"), "UnsupportedOperation", 400},
		{"an image of an instance without EBS", form("CreateImage", "InstanceId=i-0123456789abcdef4", "Name=golden"), "InvalidParameterValue", 400},
		{"terminating a protected instance", form("TerminateInstances", "InstanceId.1=i-0123456789abcdef5"), "OperationNotPermitted", 400},
		{"an image of a terminated instance", form("CreateImage", "InstanceId=i-0123456789abcdef6", "Name=golden"), "InvalidParameterValue", 400},
		{"stopping a terminated instance", form("StopInstances", "InstanceId.1=i-0123456789abcdef6"), "IncorrectInstanceState", 400},
		{"rebooting a terminated instance", form("RebootInstances", "InstanceId.1=i-0123456789abcdef6"), "IncorrectInstanceState", 400},
		{"user data of a running instance", form("ModifyInstanceAttribute", "InstanceId="+known, "UserData.Value=eA=="), "IncorrectInstanceState", 400},
		{"a change of nothing", form("ModifyInstanceAttribute", "InstanceId="+known), "InvalidParameterCombination", 400},
		{"the latest console of an old type", form("GetConsoleOutput", "InstanceId=i-0123456789abcdef5", "Latest=true"), "UnsupportedOperation", 400},
		{"another size of a volume", form("CreateImage", "InstanceId="+known, "Name=golden", "BlockDeviceMapping.1.DeviceName=/dev/sda1", "BlockDeviceMapping.1.Ebs.VolumeSize=99"), "InvalidBlockDeviceMapping", 400},
		{"a copy from nowhere", form("CopyImage", "SourceImageId=ami-0123456789abcdef0", "SourceRegion=atlantis-1", "Name=golden"), "InvalidParameterValue", 400},
		{"a copy with a key and without encryption", form("CopyImage", "SourceImageId=ami-0123456789abcdef0", "SourceRegion=eu-central-1", "Name=golden", "KmsKeyId=k"), "InvalidParameterDependency", 400},
		{"a permission for no account", form("ModifyImageAttribute", "ImageId=ami-0123456789abcdef0", "LaunchPermission.Add.1.UserId=bob"), "InvalidAMIAttributeItemValue", 400},
		{"a deprecation in the past", form("EnableImageDeprecation", "ImageId=ami-0123456789abcdef0", "DeprecateAt=1999-01-01T00:00:00Z"), "InvalidParameterValue", 400},
		{"an image that somebody else owns", form("DeregisterImage", "ImageId=ami-0123456789abcdef9"), "AuthFailure", 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := New(Options{})
			defer s.Close()
			for _, in := range []Instance{
				{ID: known},
				{ID: "i-0123456789abcdef2"},
				{ID: "i-0123456789abcdef3", Lifecycle: "spot"},
				{ID: "i-0123456789abcdef4", RootDeviceType: "instance-store"},
				{ID: "i-0123456789abcdef5", DisableAPITermination: true, Type: "t2.micro"},
				{ID: "i-0123456789abcdef6", State: StateStopped},
			} {
				in.Region = "eu-central-1"
				if _, err := s.AddInstance(in); err != nil {
					t.Fatal(err)
				}
			}
			for _, im := range []Image{
				{ID: "ami-0123456789abcdef0", Name: "taken"},
				{ID: "ami-0123456789abcdef9", Name: "theirs", OwnerID: "210987654321"},
			} {
				im.Region = "eu-central-1"
				if _, err := s.AddImage(im); err != nil {
					t.Fatal(err)
				}
			}
			for _, prepare := range []url.Values{
				form("StopInstances", "InstanceId.1=i-0123456789abcdef2"), form("TerminateInstances", "InstanceId.1=i-0123456789abcdef6"),
			} {
				if w := post(s, "eu-central-1", prepare); w.Code != http.StatusOK {
					t.Fatal(w.Body)
				}
			}
			w := post(s, "eu-central-1", test.form)
			var root node
			if code := errorCode(t, w, &root); code != test.code || w.Code != test.state {
				t.Errorf("the answer is %d %s, want %d %s\n%s", w.Code, code, test.state, test.code, w.Body)
			}
			calls := s.Calls()
			if last := calls[len(calls)-1]; last.Code != test.code || last.Status != test.state {
				t.Errorf("the call is recorded as %d %s", last.Status, last.Code)
			}
		})
	}
}
