package ami

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hcldec"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
)

// The builders whose artifacts the post-processor takes.
const (
	nullBuilder = "fnoeding.null"
	ebsBuilder  = "mitchellh.amazonebs"
)

// imagePollFactor is how many times less often EC2 is asked for the AMI than for the
// instance.
const imagePollFactor = image.ImagePoll / image.DefaultPoll

// PostProcessor is the component ec2-sysprep-ami.
type PostProcessor struct {
	config Config
	// connect makes the session. It is aws.Connect where nothing else is given.
	connect func(context.Context, aws.AccessConfig) (*aws.Session, error)
}

var _ packersdk.PostProcessor = (*PostProcessor)(nil)

// ConfigSpec returns the options' specification for HCL.
func (p *PostProcessor) ConfigSpec() hcldec.ObjectSpec { return p.config.FlatMapstructure().HCL2Spec() }

// Configure reads and checks the options. Packer calls it several times, first
// with the text "<unknown>" in place of values that it will know later.
func (p *PostProcessor) Configure(raws ...any) error {
	return p.config.prepare(raws...)
}

// PostProcess makes the AMI of the instance that the null builder worked on, or
// checks the AMI that amazon-ebs made. It keeps the latter, always.
func (p *PostProcessor) PostProcess(ctx context.Context, ui packersdk.Ui, input packersdk.Artifact) (packersdk.Artifact, bool, bool, error) {
	if err := p.config.ready(); err != nil {
		return nil, true, true, err
	}
	switch input.BuilderId() {
	case nullBuilder:
		artifact, err := p.capture(ctx, ui)
		if err != nil {
			return nil, true, false, p.withoutSecrets(err)
		}
		return artifact, false, false, nil
	case ebsBuilder:
		if err := p.adopt(ui, input); err != nil {
			return nil, true, true, err
		}
		return input, true, true, nil
	}
	return nil, true, true, &image.Failure{
		Code:    image.CodeInput,
		Problem: fmt.Sprintf("the artifact of %s can not be used: only the instance of a null builder can be made an AMI, and only the AMI of amazon-ebs can be adopted", input.BuilderId()),
		Next:    `use source "null" against a running instance, with the provisioner ec2-sysprep and this post-processor (shape A of the documents)`,
		Final:   true,
	}
}

// capture makes the AMI: find the record, find the instance, reach EC2, make.
func (p *PostProcessor) capture(ctx context.Context, ui packersdk.Ui) (*Artifact, error) {
	record, place, err := p.findRecord(ui)
	if err != nil {
		return nil, err
	}
	if err := p.findInstance(record, place); err != nil {
		return nil, err
	}
	if err := image.CheckRecord(record, p.config.demand()); err != nil {
		return nil, err
	}
	session, account, err := p.reach(ctx, record)
	if err != nil {
		return nil, p.sayHowToCarryOn(ui, err, place, p.config.JournalPath)
	}
	p.config.Region = session.Region
	journal, err := p.openJournal(session.Region, account, record)
	if err != nil {
		return nil, err
	}
	maker := p.maker(ui, session, journal)
	made, err := makeAMI(ctx, maker, record)
	if err != nil {
		return nil, p.sayHowToCarryOn(ui, err, place, journal.Path())
	}
	artifact := &Artifact{
		images: []image.AMI{*made}, instanceID: p.config.InstanceID, proof: made.Tags[image.TagProof],
		ec2: session.EC2, ctx: context.WithoutCancel(ctx),
	}
	return artifact, p.writeResult(made)
}

// makeAMI is the procedure: wait for the stop, judge the proof, have the image
// made, wait for it, check it.
func makeAMI(ctx context.Context, maker *image.Maker, record *handoff.Record) (*image.AMI, error) {
	imageID, err := maker.Resumes()
	if err != nil {
		return nil, err
	}
	if imageID == "" {
		stop, err := maker.WaitStopped(ctx, record)
		if err != nil {
			return nil, err
		}
		if err := maker.Prove(ctx, record, stop); err != nil {
			return nil, err
		}
		if imageID, err = maker.Create(ctx); err != nil {
			return nil, err
		}
	}
	finished, err := maker.WaitAvailable(ctx, imageID)
	if err != nil {
		return nil, err
	}
	return maker.Verify(ctx, finished)
}

// findRecord reads the record that the provisioner left, and the path under
// which a user finds it. Without a record both are empty.
func (p *PostProcessor) findRecord(ui packersdk.Ui) (*handoff.Record, string, error) {
	store, err := p.config.store()
	if err != nil {
		return nil, "", err
	}
	record, err := store.Load()
	switch {
	case err == nil:
		return record, store.Place(), nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, "", &image.Failure{
			Code: image.CodeRecord, Problem: "finding the record of the provisioner", Cause: err, Final: true,
			Next: "give the record_path of the build that sealed the instance",
		}
	case p.config.RequireProof.True():
		return nil, "", &image.Failure{
			Code: image.CodeNoInstance, Final: true,
			Problem: fmt.Sprintf("there is no record of the provisioner ec2-sysprep (looked for at %s), so nothing says which instance was sealed, and how", orNowhere(store.Place())),
			Next:    "run the provisioner in the same build; or give the record_path of the build that ended; or, when you know that the instance is sealed, give instance_id, region and require_proof = false",
		}
	}
	say(ui, fmt.Sprintf("WARNING: there is no record of the provisioner ec2-sysprep (looked for at %s); require_proof = false lets the instance be captured as it is", orNowhere(store.Place())))
	return nil, "", nil
}

// findInstance completes instance_id and region from the record. Two different
// answers are an error.
func (p *PostProcessor) findInstance(record *handoff.Record, place string) error {
	if record != nil {
		for _, option := range []struct {
			name     string
			given    *string
			recorded string
		}{
			{"instance_id", &p.config.InstanceID, record.InstanceID},
			{"region", &p.config.Region, record.Region},
		} {
			switch {
			case *option.given == "":
				*option.given = option.recorded
			case option.recorded != "" && *option.given != option.recorded:
				return &image.Failure{
					Code: image.CodeDiffers, Final: true,
					Problem: fmt.Sprintf("%s: it is %s, but the provisioner worked on %s (record: %s)", option.name, *option.given, option.recorded, place),
					Next:    fmt.Sprintf("leave %s out, or give the record_path that belongs to %s", option.name, *option.given),
				}
			}
		}
	}
	if p.config.InstanceID == "" {
		return &image.Failure{
			Code: image.CodeNoInstance, Final: true,
			Problem: "instance_id: nothing says which instance is to become an AMI",
			Next:    "give instance_id; the record knows it by itself when the guest can reach its instance metadata service",
		}
	}
	return nil
}

// reach connects to EC2, with the account that the record names.
func (p *PostProcessor) reach(ctx context.Context, record *handoff.Record) (*aws.Session, string, error) {
	connect := p.connect
	if connect == nil {
		connect = aws.Connect
	}
	session, err := connect(ctx, p.config.AccessConfig)
	if err != nil {
		return nil, "", &image.Failure{
			Code: image.CodeAccess, Problem: "reaching EC2", Cause: err,
			Next: "aws sts get-caller-identity, with the same region and profile",
		}
	}
	account, err := p.account(ctx, session, record)
	if err != nil {
		return nil, "", err
	}
	if record != nil && record.AccountID != "" && account != "" && record.AccountID != account {
		return nil, "", &image.Failure{
			Code: image.CodeDiffers, Final: true,
			Problem: fmt.Sprintf("the credentials belong to account %s, but the provisioner found the instance in account %s", account, record.AccountID),
			Next:    "give the credentials of the instance's account",
		}
	}
	return session, account, nil
}

// account returns the account in which the AMI will be, after which the journal
// is named. STS has told it already, unless skip_credential_validation is set;
// then the instance's owner tells it, or the record of an instance that is gone.
func (p *PostProcessor) account(ctx context.Context, session *aws.Session, record *handoff.Record) (string, error) {
	if !p.config.SkipCredsValidation {
		return session.AccountID(ctx)
	}
	owner, err := aws.Owner(ctx, session.EC2, p.config.InstanceID)
	switch {
	case err == nil:
		return owner, nil
	case record != nil && record.AccountID != "":
		return record.AccountID, nil
	case p.config.JournalPath != "":
		return "", nil
	}
	return "", &image.Failure{
		Code: image.CodeAccess, Problem: "finding out the account, after which the journal is named", Cause: err,
		Next: "give journal_path",
	}
}

// openJournal opens the journal of the instance.
func (p *PostProcessor) openJournal(region, account string, record *handoff.Record) (*image.Journal, error) {
	path := p.config.JournalPath
	if path == "" {
		cache, err := packersdk.CachePath()
		if err != nil {
			return nil, fmt.Errorf("finding Packer's cache folder: %w", err)
		}
		path = image.JournalPath(cache, account, region, p.config.InstanceID)
	}
	token := ""
	if record != nil {
		token = record.Token
	}
	return image.OpenJournal(path, account, region, p.config.InstanceID, token)
}

func (p *PostProcessor) maker(ui packersdk.Ui, session *aws.Session, journal *image.Journal) *image.Maker {
	return &image.Maker{
		EC2: session.EC2, Region: session.Region, InstanceID: p.config.InstanceID,
		Request: image.Request{
			Name: p.config.AMIName, Description: p.config.AMIDescription,
			Tags: p.config.Tags, SnapshotTags: p.config.SnapshotTags,
		},
		Demand:       p.config.demand(),
		Journal:      journal,
		Say:          func(line string) { say(ui, line) },
		StopTimeout:  p.config.StopTimeout,
		ImageTimeout: p.config.AMITimeout,
		InstancePoll: p.config.PollInterval,
		ImagePoll:    imagePollFactor * p.config.PollInterval, //nolint:durationcheck // a factor, by name and nature
	}
}

// adopt checks the AMI that amazon-ebs made: its instance is gone, so all that
// can be known is the proof that the provisioner left.
func (p *PostProcessor) adopt(ui packersdk.Ui, input packersdk.Artifact) error {
	record, place, err := p.findRecord(ui)
	if err != nil {
		return err
	}
	if record == nil {
		say(ui, fmt.Sprintf("WARNING: %s is kept although nothing proves that it is sealed", input.Id()))
		return nil
	}
	if instance := buildInstance(input); instance != "" && record.InstanceID != "" && instance != record.InstanceID {
		return &image.Failure{
			Code: image.CodeDiffers, Final: true,
			Problem: fmt.Sprintf("%s was made of instance %s, but the provisioner worked on %s (record: %s)", input.Id(), instance, record.InstanceID, place),
			Next:    "give the record_path of this build",
		}
	}
	proof, err := image.RecordedProof(record, p.config.demand())
	switch {
	case err == nil:
		say(ui, fmt.Sprintf("Adopting %s, proof: %s (%s)", input.Id(), proof.Kind, place))
		return nil
	case p.config.RequireProof.False() && record.Stage != handoff.StageRefused:
		say(ui, fmt.Sprintf("WARNING: %s is kept although nothing proves that it is sealed: %v", input.Id(), err))
		return nil
	}
	return fmt.Errorf("adopting %s, which Packer itself will now remove unless another post-processor before this one keeps it: %w", input.Id(), err)
}

// buildInstance returns the instance that the builder names, or "". The data
// hold passwords as well, so only the one entry is looked at.
func buildInstance(input packersdk.Artifact) string {
	switch data := input.State("generated_data").(type) {
	case map[any]any:
		id, _ := data["ID"].(string)
		return id
	case map[string]any:
		id, _ := data["ID"].(string)
		return id
	}
	return ""
}

// sayHowToCarryOn prints a template of shape C when a second run can help, and
// returns the error.
func (p *PostProcessor) sayHowToCarryOn(ui packersdk.Ui, err error, recordPath, journalPath string) error {
	if !image.Resumable(err) {
		return err
	}
	c := p.config
	template := image.Template{
		InstanceID: c.InstanceID, Region: c.Region, Profile: c.Profile,
		RecordPath: recordPath, JournalPath: journalPath,
		Name: c.AMIName, Description: c.AMIDescription, Tags: c.Tags, SnapshotTags: c.SnapshotTags,
		CaptureUnproven: c.RequireProof.False(), NotGeneralized: c.Generalized.False(),
		OwnCredentials: c.AccessKey != "" || len(c.AssumeRole) > 0 || c.AssumeRoleWithWebIdentity != nil ||
			c.SharedCredentialsFile != "" || c.CustomEndpointEc2 != "" || c.CustomEndpointSts != "",
	}
	text := template.HCL()
	say(ui, "Nothing is lost. When the cause is put right, carry on with this template:\n\n"+text)
	if path, saveErr := saveTemplate(c.InstanceID, text); saveErr != nil {
		say(ui, fmt.Sprintf("The template could not be written to a file: %v", saveErr))
	} else {
		say(ui, "The same template lies at "+path+"; to carry on: packer build "+path)
	}
	return err
}

// saveTemplate writes the template to a file in Packer's cache folder, because
// Packer puts its own words before every line of the output.
func saveTemplate(instanceID, text string) (string, error) {
	cache, err := packersdk.CachePath()
	if err != nil {
		return "", fmt.Errorf("finding Packer's cache folder: %w", err)
	}
	path := image.TemplatePath(cache, instanceID)
	return path, handoff.WriteFile(path, []byte(text))
}

// writeResult writes what was made to result_path. The AMI exists already, so
// a failure here names it.
func (p *PostProcessor) writeResult(made *image.AMI) error {
	if p.config.ResultPath == "" {
		return nil
	}
	data, err := json.MarshalIndent(map[string]any{
		"ami_id": made.ID, "ami_name": made.Name, "region": made.Region, "snapshot_ids": made.Snapshots,
		"encrypted": made.Encrypted, "kms_key_id": made.KMSKeyID, "source_ami": made.SourceAMI,
		"instance_id": p.config.InstanceID, "proof": made.Tags[image.TagProof],
	}, "", "  ")
	if err == nil {
		err = handoff.WriteFile(p.config.ResultPath, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("result_path: %s was made, but: %w", made.ID, err)
	}
	return nil
}

// withoutSecrets is err, without the values that must never be shown.
func (p *PostProcessor) withoutSecrets(err error) error {
	if text := packersdk.LogSecretFilter.FilterString(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}

// say shows a line without the values that must never be shown.
func say(ui packersdk.Ui, line string) { ui.Say(packersdk.LogSecretFilter.FilterString(line)) }

// orNowhere is the record's place, or words for its absence.
func orNowhere(place string) string {
	if place == "" {
		return "no place: neither record_path nor PACKER_RUN_UUID is set"
	}
	return place
}

func sortedKeys(tags map[string]string) []string { return slices.Sorted(maps.Keys(tags)) }

func joinComma(words []string) string { return strings.Join(words, ",") }
