package ec2

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// form builds parameters from "Name=value" texts.
func form(action string, pairs ...string) url.Values {
	values := url.Values{"Action": {action}, "Version": {apiVersion}}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		values.Set(name, value)
	}
	return values
}

// post sends a form as a client of a region does.
func post(s *Server, region string, values url.Values) *httptest.ResponseRecorder {
	service := "ec2"
	if values.Get("Version") == stsVersion {
		service = "sts"
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIALAB/20261121/"+region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// talker sends requests and checks all answers against the model.
type talker struct {
	t      *testing.T
	server *Server
	model  *apiModel
	driven map[string]bool
}

func (k *talker) ask(region, action string, pairs ...string) map[string]any {
	k.t.Helper()
	w := post(k.server, region, form(action, pairs...))
	if w.Code != http.StatusOK {
		k.t.Fatalf("%s %v: status %d\n%s", action, pairs, w.Code, w.Body)
	}
	r := &reader{model: k.model}
	value := r.answer(action, w.Body.Bytes())
	for _, wrong := range r.wrong {
		k.t.Errorf("%s %v: %s", action, pairs, wrong)
	}
	k.driven[action] = true
	return value
}

func (k *talker) wait(d time.Duration) {
	k.t.Helper()
	if err := k.server.opts.Clock.Wait(context.Background(), d); err != nil {
		k.t.Fatal(err)
	}
}

// fakeMachine is a machine that counts and prints what happens to it.
type fakeMachine struct{ log []string }

func (m *fakeMachine) PowerOn()        { m.log = append(m.log, "on") }
func (m *fakeMachine) PowerOff()       { m.log = append(m.log, "off") }
func (m *fakeMachine) Console() []byte { return []byte(strings.Join(m.log, "\n")) }

func TestEveryAnswerFollowsTheModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Launch: func(Instance) Machine { return &fakeMachine{} }})
		defer s.Close()
		k := &talker{t: t, server: s, model: loadModel(t, "ec2"), driven: map[string]bool{}}
		const home, away = "eu-central-1", "us-west-2"
		base, err := s.AddImage(Image{Region: home, Name: "Windows_Server-2022-English-Full-Base", OwnerID: "801119661308", OwnerAlias: "amazon", Public: true, BootMode: "uefi", TPMSupport: "v2.0"})
		if err != nil {
			t.Fatal(err)
		}
		k.ask(home, "DescribeRegions", "AllRegions=true")
		k.ask(home, "DescribeImages", "Owner.1=amazon")
		ran := k.ask(home, "RunInstances", "ImageId="+base, "MinCount=1", "MaxCount=1", "ClientToken=t", "IamInstanceProfile.Name=builder",
			"TagSpecification.1.ResourceType=instance", "TagSpecification.1.Tag.1.Key=Name", "TagSpecification.1.Tag.1.Value=<&golden>",
			"TagSpecification.2.ResourceType=volume", "TagSpecification.2.Tag.1.Key=Name", "TagSpecification.2.Tag.1.Value=root",
			"BlockDeviceMapping.1.DeviceName=xvdb", "BlockDeviceMapping.1.Ebs.VolumeSize=8", "BlockDeviceMapping.1.Ebs.Encrypted=true")
		id := ran["Instances"].([]any)[0].(map[string]any)["InstanceId"].(string)
		spot, err := s.AddInstance(Instance{Region: home, Lifecycle: "spot", PublicIP: "203.0.113.9", Profile: "arn:aws:iam::123456789012:instance-profile/p"})
		if err != nil {
			t.Fatal(err)
		}
		everywhere := func() {
			k.ask(home, "DescribeInstances")
			k.ask(home, "DescribeInstanceStatus", "IncludeAllInstances=true")
			k.ask(home, "DescribeVolumes")
			k.ask(home, "DescribeImages")
			k.ask(home, "DescribeSnapshots", "Owner.1=self")
			k.ask(home, "DescribeTags")
			k.ask(home, "DescribeSpotInstanceRequests")
		}
		everywhere()
		k.wait(time.Minute)
		everywhere()
		k.wait(2 * time.Minute)
		k.ask(home, "GetConsoleOutput", "InstanceId="+id)
		k.ask(home, "GetConsoleOutput", "InstanceId="+id, "Latest=true")
		k.ask(home, "RebootInstances", "InstanceId.1="+id)
		for _, attribute := range []string{
			"instanceInitiatedShutdownBehavior", "disableApiTermination", "disableApiStop", "userData", "instanceType", "rootDeviceName",
			"enaSupport", "sriovNetSupport", "ebsOptimized", "sourceDestCheck", "blockDeviceMapping",
		} {
			k.ask(home, "DescribeInstanceAttribute", "InstanceId="+id, "Attribute="+attribute)
		}
		k.ask(home, "ModifyInstanceAttribute", "InstanceId="+id, "InstanceInitiatedShutdownBehavior.Value=terminate")
		k.ask(home, "ModifyInstanceAttribute", "InstanceId="+id, "Attribute=instanceInitiatedShutdownBehavior", "Value=stop")
		made := k.ask(home, "CreateImage", "InstanceId="+id, "Name=golden 1", "Description=d", "NoReboot=true",
			"TagSpecification.1.ResourceType=image", "TagSpecification.1.Tag.1.Key=a", "TagSpecification.1.Tag.1.Value=b",
			"BlockDeviceMapping.1.DeviceName=xvdca", "BlockDeviceMapping.1.VirtualName=ephemeral0")["ImageId"].(string)
		everywhere()
		k.ask(home, "StopInstances", "InstanceId.1="+id)
		everywhere()
		k.wait(time.Minute)
		everywhere()
		s.FailNextImage("Client.InternalError", "Client.InternalError: broken")
		k.ask(home, "CreateImage", "InstanceId="+id, "Name=golden 2")
		k.wait(5 * time.Minute)
		everywhere()
		k.ask(home, "StartInstances", "InstanceId.1="+id)
		everywhere()
		k.ask(home, "ModifyImageAttribute", "ImageId="+made, "LaunchPermission.Add.1.UserId=210987654321", "LaunchPermission.Add.2.Group=all",
			"LaunchPermission.Add.3.OrganizationArn=arn:aws:organizations::123456789012:organization/o-123example")
		k.ask(home, "ModifyImageAttribute", "ImageId="+made, "Description.Value=better")
		k.ask(home, "ModifyImageAttribute", "ImageId="+made, "ImdsSupport.Value=v2.0")
		for _, attribute := range []string{
			"launchPermission", "description", "blockDeviceMapping", "bootMode", "tpmSupport", "imdsSupport",
			"sriovNetSupport", "lastLaunchedTime", "deregistrationProtection",
		} {
			k.ask(home, "DescribeImageAttribute", "ImageId="+made, "Attribute="+attribute)
		}
		k.ask(home, "EnableImageDeprecation", "ImageId="+made, "DeprecateAt=2099-01-01T00:00:29Z")
		k.ask(home, "EnableImageDeregistrationProtection", "ImageId="+made, "WithCooldown=true")
		copied := k.ask(away, "CopyImage", "SourceRegion="+home, "SourceImageId="+made, "Name=copy", "Encrypted=true", "KmsKeyId=alias/golden",
			"CopyImageTags=true", "TagSpecification.1.ResourceType=snapshot", "TagSpecification.1.Tag.1.Key=s", "TagSpecification.1.Tag.1.Value=t")["ImageId"].(string)
		everywhere()
		k.ask(away, "DescribeImages")
		k.wait(7 * time.Minute)
		k.ask(away, "DescribeImages", "ImageId.1="+copied)
		k.ask(away, "DescribeSnapshots")
		k.ask(home, "DisableImageDeregistrationProtection", "ImageId="+made)
		k.ask(home, "DisableImageDeprecation", "ImageId="+made)
		snap := s.Images(home)[1].Mappings[0].SnapshotID
		k.ask(home, "ModifySnapshotAttribute", "SnapshotId="+snap, "CreateVolumePermission.Add.1.UserId=210987654321")
		k.ask(home, "DescribeSnapshotAttribute", "SnapshotId="+snap, "Attribute=createVolumePermission")
		k.ask(home, "CreateTags", "ResourceId.1="+made, "ResourceId.2="+snap, "Tag.1.Key=k", "Tag.1.Value=v")
		k.ask(home, "DescribeTags", "Filter.1.Name=resource-type", "Filter.1.Value.1=snapshot")
		k.ask(home, "DeleteTags", "ResourceId.1="+made, "Tag.1.Key=k")
		k.ask(home, "DeregisterImage", "ImageId="+made)
		k.ask(home, "DeleteSnapshot", "SnapshotId="+snap)
		k.ask(home, "TerminateInstances", "InstanceId.1="+id, "InstanceId.2="+spot)
		everywhere()
		k.wait(time.Minute)
		everywhere()

		for _, action := range Actions() {
			if !k.driven[action] {
				t.Errorf("the test never asks for %s", action)
			}
		}
	})
}

func TestSTSAnswersFollowTheModel(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	model := loadModel(t, "sts")
	for action, pairs := range map[string][]string{
		"GetCallerIdentity": nil,
		"AssumeRole":        {"RoleArn=arn:aws:iam::123456789012:role/build", "RoleSessionName=packer"},
	} {
		values := form(action, pairs...)
		values.Set("Version", stsVersion)
		w := post(s, "eu-central-1", values)
		r := &reader{model: model}
		got := r.answer(action, w.Body.Bytes())
		if w.Code != http.StatusOK || len(r.wrong) > 0 || len(got) == 0 {
			t.Errorf("%s: status %d, %v\n%s", action, w.Code, r.wrong, w.Body)
		}
	}
}

func TestAMisspeltAnswerIsFound(t *testing.T) {
	model := loadModel(t, "ec2")
	for name, body := range map[string]string{
		"unknown element":  `<requestId>r</requestId><imagesSet><item><imageID>ami-1</imageID></item></imagesSet>`,
		"list entry":       `<requestId>r</requestId><imagesSet><member/></imagesSet>`,
		"enum value":       `<requestId>r</requestId><imagesSet><item><imageState>ready</imageState></item></imagesSet>`,
		"boolean":          `<requestId>r</requestId><imagesSet><item><isPublic>yes</isPublic></item></imagesSet>`,
		"twice":            `<requestId>r</requestId><nextToken>a</nextToken><nextToken>b</nextToken>`,
		"no request id":    `<imagesSet/>`,
		"text in a struct": `<requestId>r</requestId><imagesSet>none</imagesSet>`,
	} {
		r := &reader{model: model}
		r.answer("DescribeImages", []byte(`<DescribeImagesResponse xmlns="`+apiNamespace+`">`+body+`</DescribeImagesResponse>`))
		if len(r.wrong) == 0 {
			t.Errorf("%s: the check found nothing", name)
		}
	}
}

func TestWildcards(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true},
		{"win*", "windows", true},
		{"win*", "linux", false},
		{"w?n*s", "windows", true},
		{"?", "", false},
		{`a\*b`, "a*b", true},
		{`a\*b`, "axb", false},
		{"Win", "win", false},
		{`x\`, `x\`, true},
		{"*a*b*c", "xxaxxbxxaxc", true},
		{"*a*b*c", "xxaxxbxxaxcd", false},
		{`*\*`, "ab*", true},
		{`*\*`, "abc", false},
		{"a**", "a", true},
	} {
		if got := wildcard(test.pattern, test.text); got != test.want {
			t.Errorf("wildcard(%q, %q) is %v", test.pattern, test.text, got)
		}
	}
}

func FuzzRequests(f *testing.F) {
	for _, action := range Actions() {
		f.Add(form(action, "InstanceId.1=i-0123456789abcdef0", "Filter.1.Name=tag:x", "Filter.1.Value.1=*").Encode())
		f.Add(form(action, "InstanceId=i-0123456789abcdef0", "ImageId=ami-0123456789abcdef0", "Name=golden", "Attribute=description").Encode())
	}
	f.Fuzz(func(t *testing.T, body string) {
		s := New(Options{})
		defer s.Close()
		if _, err := s.AddInstance(Instance{ID: "i-0123456789abcdef0"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.AddImage(Image{ID: "ami-0123456789abcdef0", Name: "base"}); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		var root node
		if err := unmarshal(w, &root); err != nil {
			t.Fatalf("%v\n%s", err, w.Body)
		}
		if status := strconv.Itoa(w.Code); w.Code != http.StatusOK && (status[0] != '4' || strings.Contains(w.Body.String(), "InternalError")) {
			t.Errorf("status %s\n%s", status, w.Body)
		}
		if fmt.Sprint(w.Header()["Content-Type"]) != "[text/xml;charset=UTF-8]" {
			t.Errorf("headers %v", w.Header())
		}
	})
}
