// Package ami is the post-processor ec2-sysprep-ami: it waits until the sealed
// instance has stopped, makes the AMI and checks it. What the provisioner of
// this plugin proved reaches it through the hand-over record.
//
// After the null builder it captures the instance itself. After amazon-ebs,
// which makes the AMI on its own and terminates the instance, it only checks
// that the AMI was made from a proven instance.
//
//go:generate go tool packer-sdc struct-markdown
//go:generate go tool packer-sdc mapstructure-to-hcl2 -type Config
package ami

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/common"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/handoff"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
)

// Config is the options of the post-processor.
type Config struct {
	common.PackerConfig `mapstructure:",squash"`
	aws.AccessConfig    `mapstructure:",squash"`

	// The name of the AMI: 3 to 128 letters, digits, spaces and `( ) [ ] . / - ' @ _`.
	// It must be free in the account and region. The template functions work in
	// it, like `windows-2022-{{timestamp}}`; `{{clean_resource_name}}` replaces what EC2
	// does not take in a name. After amazon-ebs it is not used.
	AMIName string `mapstructure:"ami_name" required:"true"`
	// The description of the AMI, at most 255 characters. Default: none.
	AMIDescription string `mapstructure:"ami_description"`
	// Tags of the AMI. Tags of the plugin's own are always added:
	// `ec2-sysprep:proof` says what proves that Windows was sealed (`seen`,
	// `console`, `by-shutdown`, `not-generalized` or `none`) and `ec2-sysprep:build`
	// which build it was. Keys that begin with `ec2-sysprep:` can not be given.
	Tags map[string]string `mapstructure:"tags"`
	// The same as `tags`, as a block with `key` and `value` that may be repeated, for
	// use with `dynamic` blocks.
	Tag config.KeyValues `mapstructure:"tag"`
	// Tags of the AMI's snapshots. The plugin's own tags are added to them, too.
	SnapshotTags map[string]string `mapstructure:"snapshot_tags"`
	// The same as `snapshot_tags`, as a block with `key` and `value` that may be
	// repeated.
	SnapshotTag config.KeyValues `mapstructure:"snapshot_tag"`

	// The id of the instance. It is needed only when the provisioner could not
	// find it out by itself, or did not run. When it differs from the record's, the
	// build ends with an error. Default: the record's.
	InstanceID string `mapstructure:"instance_id"`
	// The path of the record that the provisioner left, when the option of the
	// same name is given there, or to carry on a build that ended. Default: the
	// record of this very build in Packer's cache folder.
	RecordPath string `mapstructure:"record_path"`
	// The path of the journal, in which every step is written down, so that a
	// second run carries on and never makes a second AMI of the same sealed
	// instance. Default: a file in Packer's cache folder, named after the account,
	// the region and the instance.
	JournalPath string `mapstructure:"journal_path"`
	// The path of a file to write what was made to, as JSON: AMI id, name, region,
	// snapshots, instance and proof. Default: none.
	ResultPath string `mapstructure:"result_path"`

	// Make an AMI only when it is proven that Windows was sealed. With `false` an
	// instance without a proof, or even without a record, is captured as it is;
	// the output and the AMI's tag `ec2-sysprep:proof` say so. Default: `true`.
	RequireProof config.Trilean `mapstructure:"require_proof"`
	// Make an AMI only of a generalized guest. With `false` a guest is taken, too,
	// whose record says that it was shut down without Sysprep; this version's
	// provisioner leaves no such record. Default: `true`.
	Generalized config.Trilean `mapstructure:"generalized"`

	// How long to wait until the instance has stopped. When nobody saw the sealer's
	// verdict, the time counts from the end of the sealer's own limit. Default: `30m`.
	StopTimeout time.Duration `mapstructure:"stop_timeout"`
	// How long to wait until the AMI is available. Default: `120m`.
	AMITimeout time.Duration `mapstructure:"ami_timeout"`
	// How often EC2 is asked for the instance, at least `100ms`. For the AMI it is
	// asked a third as often. Default: `5s`.
	PollInterval time.Duration `mapstructure:"poll_interval"`

	ctx interpolate.Context
}

// The limits of EC2 for names, descriptions and tags:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html and
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html
const (
	minNameLength   = 3
	maxNameLength   = 128
	maxDescription  = 255
	maxTags         = 50
	ownTags         = 2
	maxTagKey       = 128
	maxTagValue     = 256
	minPollInterval = 100 * time.Millisecond
)

var (
	nameForm     = regexp.MustCompile(`^[A-Za-z0-9()\[\] ./\-'@_]*$`)
	notInName    = regexp.MustCompile(`[^A-Za-z0-9()\[\] ./\-'@_]`)
	instanceForm = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)
)

// prepare reads the options, puts in the defaults and returns everything that
// is wrong, each error beginning with the option's name.
func (c *Config) prepare(raws ...any) error {
	c.ctx.Funcs = template.FuncMap{"clean_resource_name": cleanName}
	if err := config.Decode(c, &config.DecodeOpts{
		PluginType:         "ec2-sysprep-ami",
		Interpolate:        true,
		InterpolateContext: &c.ctx,
	}, raws...); err != nil {
		return err
	}
	var errs []error
	errs = append(errs, c.Tag.CopyOn(&c.Tags)...)
	errs = append(errs, c.SnapshotTag.CopyOn(&c.SnapshotTags)...)
	c.Tag, c.SnapshotTag = nil, nil

	setDefault(&c.RequireProof, config.TriTrue)
	setDefault(&c.Generalized, config.TriTrue)
	setDefault(&c.StopTimeout, image.DefaultStopTimeout)
	setDefault(&c.AMITimeout, image.DefaultImageTimeout)
	setDefault(&c.PollInterval, image.DefaultPoll)

	errs = append(errs, c.AccessConfig.Prepare()...)
	errs = append(errs, c.check()...)
	packersdk.LogSecretFilter.Set(c.Secrets()...)
	return errors.Join(errs...)
}

// setDefault puts the default into an option that was not given.
func setDefault[T comparable](option *T, value T) {
	if *option == *new(T) {
		*option = value
	}
}

// check returns what is wrong with the options of this component.
func (c *Config) check() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case c.AMIName == "":
		add("ami_name: the AMI must have a name")
	case !aws.Known(c.AMIName):
	default:
		if len(c.AMIName) < minNameLength || len(c.AMIName) > maxNameLength {
			add("ami_name: %q has %d characters; EC2 takes %d to %d", c.AMIName, len(c.AMIName), minNameLength, maxNameLength)
		}
		if !nameForm.MatchString(c.AMIName) {
			add("ami_name: EC2 does not take %s in the name %q; {{clean_resource_name}} replaces it", strange(c.AMIName), c.AMIName)
		}
	}
	if aws.Known(c.AMIDescription) && len(c.AMIDescription) > maxDescription {
		add("ami_description: it has %d characters; EC2 takes %d", len(c.AMIDescription), maxDescription)
	}
	errs = append(errs, checkTags("tags", c.Tags)...)
	errs = append(errs, checkTags("snapshot_tags", c.SnapshotTags)...)
	switch {
	case c.InstanceID == "" || !aws.Known(c.InstanceID):
	case c.InstanceID == "Null" || strings.HasPrefix(c.InstanceID, "ERR_"):
		add("instance_id: %q is what the builder gives for build.ID when it knows no instance; leave the option out, the record knows the instance", c.InstanceID)
	case !instanceForm.MatchString(c.InstanceID):
		add("instance_id: %q is not the id of an instance; one looks like i-0123456789abcdef0", c.InstanceID)
	}
	for _, limit := range []struct {
		name  string
		value time.Duration
	}{{"stop_timeout", c.StopTimeout}, {"ami_timeout", c.AMITimeout}} {
		if limit.value < 0 {
			add("%s: %s is negative", limit.name, limit.value)
		}
	}
	if c.PollInterval < minPollInterval {
		add("poll_interval: %s is too short; it must be at least %s", c.PollInterval, minPollInterval)
	}
	return errs
}

// checkTags returns what EC2, or this plugin, does not take in tags.
func checkTags(name string, tags map[string]string) []error {
	var errs []error
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf(name+": "+format, args...))
	}
	if len(tags) > maxTags-ownTags {
		add("there are %d tags; EC2 takes %d, %d of which the plugin adds itself", len(tags), maxTags, ownTags)
	}
	for _, key := range sortedKeys(tags) {
		switch {
		case key == "":
			add("a tag has no key")
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			add("%q: keys that begin with aws: belong to AWS", key)
		case strings.HasPrefix(key, image.TagPrefix):
			add("%q: keys that begin with %s belong to this plugin", key, image.TagPrefix)
		case len([]rune(key)) > maxTagKey:
			add("%q: the key has more than %d characters", key, maxTagKey)
		case aws.Known(tags[key]) && len([]rune(tags[key])) > maxTagValue:
			add("%q: the value has more than %d characters", key, maxTagValue)
		}
	}
	return errs
}

// ready returns what the options still do not say now that everything should
// be known: a null builder never fills in most of build.X.
func (c *Config) ready() error {
	var errs []error
	for _, option := range []struct{ name, value string }{
		{"ami_name", c.AMIName},
		{"ami_description", c.AMIDescription},
		{"instance_id", c.InstanceID},
		{"region", c.Region},
		{"profile", c.Profile},
		{"record_path", c.RecordPath},
		{"journal_path", c.JournalPath},
		{"result_path", c.ResultPath},
	} {
		if !aws.Known(option.value) {
			errs = append(errs, fmt.Errorf("%s: its value is %q, because this builder does not say what build.… was asked for; use a variable or a local value instead", option.name, option.value))
		}
	}
	for name, tags := range map[string]map[string]string{"tags": c.Tags, "snapshot_tags": c.SnapshotTags} {
		for _, key := range sortedKeys(tags) {
			if !aws.Known(tags[key]) {
				errs = append(errs, fmt.Errorf("%s: %q: its value is %q, because this builder does not say what build.… was asked for", name, key, tags[key]))
			}
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// store is where this build's record lies.
func (c *Config) store() (handoff.Store, error) {
	return handoff.StoreOf(c.RecordPath, c.PackerBuilderType, c.PackerBuildName)
}

// demand is what the user wants to be sure of.
func (c *Config) demand() image.Demand {
	return image.Demand{Proof: c.RequireProof.True(), Generalized: c.Generalized.True()}
}

// strange lists the characters of a name that EC2 does not take.
func strange(name string) string {
	var list []string
	for _, character := range notInName.FindAllString(name, -1) {
		if quoted := fmt.Sprintf("%q", character); !slices.Contains(list, quoted) {
			list = append(list, quoted)
		}
	}
	return strings.Join(list, ", ")
}

// cleanName replaces what EC2 does not take in the name of an AMI.
func cleanName(name string) string { return notInName.ReplaceAllString(name, "-") }
