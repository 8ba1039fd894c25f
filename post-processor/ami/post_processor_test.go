package ami

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclparse"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	registryimage "github.com/hashicorp/packer-plugin-sdk/packer/registry/image"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

const (
	region = "eu-central-1"
	secret = "the-planted-secret"
	runID  = "11111111-2222-3333-4444-555555555555"
)

// stage is a post-processor over the network before the lab's EC2, in which
// everything happens at once.
type stage struct {
	*testing.T
	ec2     *ec2.Server
	id      string
	options map[string]any
	record  *handoff.Record
	store   handoff.Store
	folder  string
	said    strings.Builder
}

// atOnce lets nothing in the lab take time.
var atOnce = ec2.Timing{GuestStop: -1, Stop: -1, SnapshotStart: -1, Image: -1}

func newStage(t *testing.T, opts ec2.Options) *stage {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") || strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			t.Setenv(name, "")
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := &stage{T: t, ec2: ec2.New(opts), folder: t.TempDir()}
	t.Cleanup(s.ec2.Close)
	t.Setenv("PACKER_CACHE_DIR", filepath.Join(s.folder, "cache"))
	t.Setenv("PACKER_RUN_UUID", runID)
	server := httptest.NewServer(s.ec2)
	t.Cleanup(server.Close)
	id, err := s.ec2.AddInstance(ec2.Instance{Region: region})
	if err != nil {
		t.Fatal(err)
	}
	s.id = id
	instance, _ := s.ec2.Instance(id)
	s.options = map[string]any{
		"packer_build_name": "windows", "packer_builder_type": "null",
		"ami_name": "windows-2022", "tags": map[string]string{"team": "images"},
		"access_key": "AKIALAB", "secret_key": secret, "max_retries": 1,
		"custom_endpoint_ec2": server.URL, "custom_endpoint_sts": server.URL,
		"poll_interval": "100ms",
	}
	s.record = &handoff.Record{
		Token: "token-1", Stage: handoff.StageSealed, Action: "sysprep", Shutdown: "sealed",
		InstanceID: id, AccountID: ec2.DefaultAccountID, Region: region, LaunchTime: instance.LaunchTime,
		TriggeredAt: time.Now(), SealerDeadline: time.Now().Add(time.Hour),
		Proof: &handoff.Proof{Kind: handoff.ProofSeen, SeenAt: time.Now(), ImageState: "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE", Tag: true, SysprepEnded: true},
	}
	s.store = handoff.Store{CachePath: handoff.Path(filepath.Join(s.folder, "cache"), runID, "null", "windows")}
	return s
}

// save writes the record as the provisioner does.
func (s *stage) save() {
	s.Helper()
	if err := s.store.Save(s.record, time.Now()); err != nil {
		s.Fatal(err)
	}
}

// run configures and runs the post-processor on the artifact.
func (s *stage) run(input packersdk.Artifact) (packersdk.Artifact, bool, bool, error) {
	s.Helper()
	var p PostProcessor
	if err := p.Configure(s.options); err != nil {
		s.Fatal(err)
	}
	return s.process(&p, input)
}

// process runs the post-processor and checks that it never shows the secret.
func (s *stage) process(p *PostProcessor, input packersdk.Artifact) (packersdk.Artifact, bool, bool, error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	artifact, keep, force, err := p.PostProcess(ctx, &packersdk.BasicUi{Writer: &s.said, ErrorWriter: &s.said}, input)
	if err != nil && strings.Contains(err.Error(), secret) {
		s.Errorf("the error shows the secret: %v", err)
	}
	if strings.Contains(s.said.String(), secret) {
		s.Errorf("the output shows the secret:\n%s", s.said.String())
	}
	walk := filepath.WalkDir(s.folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), secret) {
			s.Errorf("%s holds the secret", path)
		}
		return err
	})
	if walk != nil {
		s.Error(walk)
	}
	return artifact, keep, force, err
}

func null() packersdk.Artifact {
	return &packersdk.MockArtifact{BuilderIdValue: nullBuilder, IdValue: "Null"}
}

func amazonEBS(instance string) packersdk.Artifact {
	return &packersdk.MockArtifact{
		BuilderIdValue: ebsBuilder, IdValue: region + ":ami-0123456789abcdef0",
		StateValues: map[string]any{"generated_data": map[any]any{"ID": instance, "Password": secret}},
	}
}

func codeOf(err error) string {
	var failure *image.Failure
	if errors.As(err, &failure) {
		return failure.Code
	}
	return ""
}

func TestTheInstanceOfTheRecordBecomesAnAMI(t *testing.T) {
	s := newStage(t, ec2.Options{Timing: atOnce})
	s.options["result_path"] = filepath.Join(s.folder, "result.json")
	s.save()
	s.ec2.GuestShutdown(s.id)
	artifact, keep, _, err := s.run(null())
	if err != nil {
		t.Fatalf("%v\n%s", err, s.said.String())
	}
	if keep {
		t.Error("the null builder's artifact is nothing to keep")
	}
	made := s.ec2.Images(region)
	if len(made) != 1 {
		t.Fatalf("there are %d images", len(made))
	}
	if want := region + ":" + made[0].ID; artifact.Id() != want {
		t.Errorf("the id is %q, want %q", artifact.Id(), want)
	}
	if want := "AMIs were created:\n" + region + ": " + made[0].ID + "\n"; artifact.String() != want {
		t.Errorf("the text is %q, want %q", artifact.String(), want)
	}
	if artifact.BuilderId() != BuilderID || artifact.Files() != nil || artifact.State("other") != nil {
		t.Errorf("got %q, %v, %v", artifact.BuilderId(), artifact.Files(), artifact.State("other"))
	}
	images, ok := artifact.State(registryimage.ArtifactStateURI).([]*registryimage.Image)
	if !ok || len(images) != 1 || images[0].Validate() != nil || images[0].ImageID != made[0].ID || images[0].Labels["proof"] != "seen" || images[0].ProviderRegion != region {
		t.Errorf("the registry's image is %+v", images)
	}
	if data, ok := artifact.State("generated_data").(map[string]any); !ok || data["ID"] != s.id {
		t.Errorf("the data are %v", artifact.State("generated_data"))
	}
	var result map[string]any
	data, err := os.ReadFile(filepath.Join(s.folder, "result.json"))
	if err == nil {
		err = json.Unmarshal(data, &result)
	}
	if err != nil || result["ami_id"] != made[0].ID || result["proof"] != "seen" || result["instance_id"] != s.id {
		t.Errorf("the result is %v (%v)", result, err)
	}
	for range 2 { // what is gone already is no error
		if err := artifact.Destroy(); err != nil {
			t.Errorf("destroying: %v", err)
		}
	}
	if n := len(s.ec2.Images(region)); n != 0 {
		t.Errorf("after Destroy there are %d images", n)
	}
}

func TestPostProcessRefuses(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(s *stage)
		input   packersdk.Artifact
		code    string
		words   []string
		resume  bool
	}{
		{
			"another builder's artifact", func(s *stage) {}, &packersdk.MockArtifact{BuilderIdValue: "transcend.qemu"}, image.CodeInput,
			[]string{"transcend.qemu", `source "null"`, "shape A"},
			false,
		},
		{
			"to work without a record", func(s *stage) { s.store = handoff.Store{CachePath: filepath.Join(s.folder, "else")} }, null(), image.CodeNoInstance,
			[]string{"no record", "record_path", "require_proof = false", filepath.Join(s0, handoff.Folder)},
			false,
		},
		{"a record that can not be read", func(s *stage) {
			path := filepath.Join(s.folder, "broken.json")
			if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
				s.Fatal(err)
			}
			s.options["record_path"] = path
		}, null(), image.CodeRecord, []string{"broken.json", "record_path"}, false},
		{
			"another instance than the record's", func(s *stage) { s.options["instance_id"] = "i-0aaaaaaaaaaaaaaaa" }, null(), image.CodeDiffers,
			[]string{"instance_id: it is i-0aaaaaaaaaaaaaaaa", "record: "},
			false,
		},
		{"another region than the record's", func(s *stage) { s.options["region"] = "us-east-1" }, null(), image.CodeDiffers, []string{"region: it is us-east-1"}, false},
		{"another account than the record's", func(s *stage) { s.record.AccountID = "999999999999" }, null(), image.CodeDiffers, []string{"account 123456789012", "account 999999999999"}, false},
		{"a record without an instance", func(s *stage) { s.record.InstanceID = "" }, null(), image.CodeNoInstance, []string{"give instance_id"}, false},
		{"a guest that Sysprep refused, at once", func(s *stage) { s.record.Stage = handoff.StageRefused }, null(), image.CodeRefused, []string{"did not seal"}, false},
		{
			"credentials that AWS does not know", func(s *stage) { s.ec2.FailNext("GetCallerIdentity", -1, "InvalidClientTokenId", "unknown") }, null(), image.CodeAccess,
			[]string{"InvalidClientTokenId"},
			true,
		},
		{"a name that is taken", func(s *stage) {
			if _, err := s.ec2.AddImage(ec2.Image{Region: region, Name: "windows-2022", OwnerID: ec2.DefaultAccountID}); err != nil {
				s.Fatal(err)
			}
		}, null(), image.CodeNameTaken, []string{"ami_name"}, true},
		{"an AMI of amazon-ebs without a record", func(s *stage) { s.store = handoff.Store{CachePath: filepath.Join(s.folder, "else")} }, amazonEBS("i-1"), image.CodeNoInstance, nil, false},
		{"an AMI of amazon-ebs whose instance is not the record's", func(s *stage) {}, amazonEBS("i-other"), image.CodeDiffers, []string{"i-other"}, false},
		{
			"an AMI of amazon-ebs without a proof", func(s *stage) { s.record.Stage, s.record.Proof = handoff.StageTriggered, nil }, amazonEBS(""), image.CodeUnproven,
			[]string{"Packer itself will now remove"},
			false,
		},
		{"an AMI of amazon-ebs that Sysprep refused", func(s *stage) {
			s.record.Stage = handoff.StageRefused
			s.options["require_proof"] = false
		}, amazonEBS(""), image.CodeRefused, nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t, ec2.Options{Timing: atOnce})
			test.prepare(s)
			s.save()
			s.ec2.GuestShutdown(s.id)
			artifact, keep, _, err := s.run(test.input)
			if codeOf(err) != test.code || artifact != nil || !keep {
				t.Fatalf("got %v, keep %t, error %v, want %s", artifact, keep, err, test.code)
			}
			for _, word := range test.words {
				if !strings.Contains(err.Error(), strings.ReplaceAll(word, s0, filepath.Join(s.folder, "cache"))) {
					t.Errorf("the error %q does not hold %q", err, word)
				}
			}
			if shown := strings.Contains(s.said.String(), `source "null" "resume"`); shown != test.resume {
				t.Errorf("a template to carry on was shown: %t, want %t\n%s", shown, test.resume, s.said.String())
			}
		})
	}
}

// s0 stands for the cache folder in the table above.
const s0 = "CACHE"

func TestAnAMIOfAmazonEBSIsAdoptedWhenProven(t *testing.T) {
	for name, prepare := range map[string]func(s *stage){
		"with a proof": func(s *stage) { s.save() },
		"without a proof, as asked": func(s *stage) {
			s.record.Stage, s.record.Proof = handoff.StageTriggered, nil
			s.options["require_proof"] = false
			s.save()
		},
		"without a record, as asked": func(s *stage) { s.options["require_proof"] = false },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, ec2.Options{Timing: atOnce})
			prepare(s)
			input := amazonEBS(s.id)
			artifact, keep, force, err := s.run(input)
			if err != nil || artifact != input || !keep || !force {
				t.Errorf("got %v, keep %t, force %t, error %v; want the input, kept by force", artifact, keep, force, err)
			}
			if strings.Contains(name, "as asked") != strings.Contains(s.said.String(), "WARNING") {
				t.Errorf("said: %s", s.said.String())
			}
		})
	}
}

func TestAnInstanceWithoutARecordIsCapturedWhenAskedFor(t *testing.T) {
	s := newStage(t, ec2.Options{Timing: atOnce})
	s.options["require_proof"] = false
	s.options["instance_id"] = s.id
	s.options["region"] = region
	s.ec2.GuestShutdown(s.id)
	if _, _, _, err := s.run(null()); err != nil {
		t.Fatal(err)
	}
	if got := s.ec2.Images(region)[0].Tags[image.TagProof]; got != string(image.ProofNone) {
		t.Errorf("the AMI's tag says %q", got)
	}
	if n := strings.Count(s.said.String(), "WARNING"); n != 2 {
		t.Errorf("the warning was said %d times:\n%s", n, s.said.String())
	}
}

func TestNobodyAsksSTSWhenValidationIsSkipped(t *testing.T) {
	s := newStage(t, ec2.Options{Timing: atOnce})
	s.options["skip_credential_validation"] = true
	s.record.AccountID = ""
	s.save()
	s.ec2.GuestShutdown(s.id)
	if _, _, _, err := s.run(null()); err != nil {
		t.Fatal(err)
	}
	for _, call := range s.ec2.Calls() {
		if call.Action == "GetCallerIdentity" {
			t.Error("STS was asked")
		}
	}
	journal := image.JournalPath(filepath.Join(s.folder, "cache"), ec2.DefaultAccountID, region, s.id)
	if _, err := os.Stat(journal); err != nil {
		t.Errorf("the journal is not named after the instance's owner: %v", err)
	}
}

func TestValuesThatPackerNeverToldAreRefused(t *testing.T) {
	s := newStage(t, ec2.Options{})
	s.options["instance_id"], s.options["region"] = aws.Unknown, aws.Unknown
	s.options["tags"] = map[string]string{"host": aws.Unknown}
	_, _, _, err := s.run(null())
	if err == nil {
		t.Fatal("no error")
	}
	var begins []string
	for _, line := range strings.Split(err.Error(), "\n") {
		option, _, _ := strings.Cut(line, ":")
		begins = append(begins, option)
	}
	if diff := cmp.Diff([]string{"instance_id", "region", "tags"}, begins); diff != "" {
		t.Errorf("(-want +got):\n%s\n%v", diff, err)
	}
}

// TestTheTemplateThatIsPrintedCarriesOn runs the template that a failed run
// prints, as another build with another run id.
func TestTheTemplateThatIsPrintedCarriesOn(t *testing.T) {
	s := newStage(t, ec2.Options{Timing: atOnce})
	s.save()
	s.ec2.GuestShutdown(s.id)
	s.ec2.FailNext("DescribeImages", -1, "UnauthorizedOperation", "not authorized to perform: ec2:DescribeImages")
	_, _, _, err := s.run(null())
	if codeOf(err) != image.CodeDenied {
		t.Fatalf("got %v", err)
	}
	s.ec2.ClearFaults()

	said := s.said.String()
	path := image.TemplatePath(filepath.Join(s.folder, "cache"), s.id)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said, string(text)) || !strings.Contains(said, "packer build "+path) {
		t.Errorf("the template at %s was not shown:\n%s", path, said)
	}
	file, diags := hclparse.NewParser().ParseHCL(text, path)
	if diags.HasErrors() {
		t.Fatalf("%v\n%s", diags, text)
	}
	var p PostProcessor
	value, diags := hcldec.Decode(postProcessorBlock(t, file.Body), p.ConfigSpec(), nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	t.Setenv("PACKER_RUN_UUID", "66666666-7777-8888-9999-000000000000")
	// The credentials are not in the template, and said to be missing there.
	if !strings.Contains(said, "credentials here") {
		t.Errorf("nothing is said about the credentials:\n%s", said)
	}
	credentials := map[string]any{}
	for _, name := range []string{"access_key", "secret_key", "max_retries", "custom_endpoint_ec2", "custom_endpoint_sts", "poll_interval"} {
		credentials[name] = s.options[name]
	}
	if err := p.Configure(value); err != nil {
		t.Fatal(err)
	}
	options := map[string]any{
		"instance_id": p.config.InstanceID, "region": p.config.Region, "record_path": p.config.RecordPath,
		"journal_path": p.config.JournalPath, "ami_name": p.config.AMIName, "tags": p.config.Tags,
	}
	if err := p.Configure(options, credentials); err != nil {
		t.Fatal(err)
	}
	artifact, _, _, err := s.process(&p, null())
	if err != nil {
		t.Fatalf("%v\n%s", err, s.said.String())
	}
	made := s.ec2.Images(region)
	if len(made) != 1 || artifact.Id() != region+":"+made[0].ID || made[0].Tags["team"] != "images" {
		t.Errorf("got %s, made were %+v", artifact.Id(), made)
	}
}

// postProcessorBlock returns the body of the only post-processor of a template.
func postProcessorBlock(t *testing.T, body hcl.Body) hcl.Body {
	t.Helper()
	for _, block := range []hcl.BlockHeaderSchema{{Type: "build"}, {Type: "post-processor", LabelNames: []string{"type"}}} {
		content, _, diags := body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{block}})
		if diags.HasErrors() || len(content.Blocks) != 1 {
			t.Fatalf("%v: %d blocks %s", diags, len(content.Blocks), block.Type)
		}
		body = content.Blocks[0].Body
	}
	return body
}
