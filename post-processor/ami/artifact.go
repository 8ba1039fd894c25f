package ami

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	registryimage "github.com/hashicorp/packer-plugin-sdk/packer/registry/image"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
)

// BuilderID names the artifacts of this post-processor.
const BuilderID = "golden-ami.ec2-sysprep"

// destroyLimit is how long Destroy may take.
const destroyLimit = 5 * time.Minute

// Artifact is the AMI that was made.
type Artifact struct {
	images     []image.AMI
	instanceID string
	proof      string
	// ec2 and ctx are for Destroy, which Packer calls without a context.
	ec2 aws.EC2
	ctx context.Context
}

var _ packersdk.Artifact = (*Artifact)(nil)

// BuilderId returns BuilderID.
func (*Artifact) BuilderId() string { return BuilderID }

// Files returns nothing: an AMI is no file.
func (*Artifact) Files() []string { return nil }

// Id returns "region:ami", several of them in order and joined by commas, as
// the Amazon plugin does.
func (a *Artifact) Id() string {
	ids := make([]string, len(a.images))
	for i, made := range a.images {
		ids[i] = made.Region + ":" + made.ID
	}
	slices.Sort(ids)
	return joinComma(ids)
}

// String lists the AMIs by region.
func (a *Artifact) String() string {
	lines := make([]string, len(a.images))
	for i, made := range a.images {
		lines[i] = fmt.Sprintf("%s: %s", made.Region, made.ID)
	}
	slices.Sort(lines)
	text := "AMIs were created:"
	for _, line := range lines {
		text += "\n" + line
	}
	return text + "\n"
}

// State returns what other components ask for: the metadata for the HCP Packer
// registry, and the data of the build.
func (a *Artifact) State(name string) any {
	switch name {
	case registryimage.ArtifactStateURI:
		return a.registryImages()
	case "generated_data":
		return a.generatedData()
	}
	return nil
}

func (a *Artifact) registryImages() any {
	list := make([]*registryimage.Image, 0, len(a.images))
	for _, made := range a.images {
		labels := maps.Clone(made.Tags)
		if labels == nil {
			labels = map[string]string{}
		}
		labels["source_instance_id"] = a.instanceID
		labels["proof"] = a.proof
		list = append(list, &registryimage.Image{
			ImageID: made.ID, ProviderName: "aws", ProviderRegion: made.Region,
			SourceImageID: made.SourceAMI, Labels: labels,
		})
	}
	return list
}

// generatedData has the names that amazon-ebs uses.
func (a *Artifact) generatedData() map[string]any {
	data := map[string]any{"ID": a.instanceID}
	if len(a.images) > 0 {
		data["BuildRegion"] = a.images[0].Region
		data["SourceAMI"] = a.images[0].SourceAMI
	}
	return data
}

// Destroy deregisters the AMIs and deletes their snapshots. Packer asks for it
// when a later post-processor does not keep its input. What is gone already is
// no error.
func (a *Artifact) Destroy() error {
	ctx, cancel := context.WithTimeout(a.ctx, destroyLimit)
	defer cancel()
	var errs []error
	for _, made := range a.images {
		_, err := a.ec2.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: awssdk.String(made.ID)})
		if err != nil && !aws.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("deregistering %s in %s: %w", made.ID, made.Region, err))
			continue // its snapshots are in use
		}
		for _, id := range made.Snapshots {
			_, err := a.ec2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: awssdk.String(id)})
			if err != nil && !aws.IsNotFound(err) {
				errs = append(errs, fmt.Errorf("deleting %s of %s in %s: %w", id, made.ID, made.Region, err))
			}
		}
	}
	return errors.Join(errs...)
}
