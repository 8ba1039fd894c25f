package ec2

import (
	"maps"
	"slices"
)

// Actions returns the names of the EC2 operations that a [Server] has, sorted.
func Actions() []string { return slices.Sorted(maps.Keys(operations())) }

// operations is the table of all actions. Parameters are named as they travel,
// with # for an index.
func operations() map[string]operation {
	filters := []string{"Filter.#.Name", "Filter.#.Value.#"}
	pages := []string{"MaxResults", "NextToken"}
	tagSpecs := []string{"TagSpecification.#.ResourceType", "TagSpecification.#.Tag.#.Key", "TagSpecification.#.Tag.#.Value"}
	devices := []string{
		"BlockDeviceMapping.#.DeviceName", "BlockDeviceMapping.#.VirtualName", "BlockDeviceMapping.#.NoDevice",
		"BlockDeviceMapping.#.Ebs.DeleteOnTermination", "BlockDeviceMapping.#.Ebs.Iops", "BlockDeviceMapping.#.Ebs.SnapshotId",
		"BlockDeviceMapping.#.Ebs.VolumeSize", "BlockDeviceMapping.#.Ebs.VolumeType", "BlockDeviceMapping.#.Ebs.KmsKeyId",
		"BlockDeviceMapping.#.Ebs.Throughput", "BlockDeviceMapping.#.Ebs.Encrypted",
	}
	permissions := func(name string, grantees ...string) []string {
		var all []string
		for _, verb := range []string{"Add", "Remove"} {
			for _, field := range grantees {
				all = append(all, name+"."+verb+".#."+field)
			}
		}
		return append(all, "Attribute", "OperationType", "UserId.#", "UserGroup.#")
	}
	describe := func(id string, do func(*request) (reply, *Error), more ...string) operation {
		return operation{params: slices.Concat(filters, pages, []string{id}, more), do: do}
	}
	of := func(id string, do func(*request) (reply, *Error), more ...string) operation {
		return operation{params: append([]string{id}, more...), required: []string{id}, do: do}
	}
	several := func(do func(*request) (reply, *Error), more ...string) operation {
		return operation{params: append([]string{"InstanceId.#"}, more...), required: []string{"InstanceId"}, do: do}
	}
	with := func(op operation, required ...string) operation {
		op.required = append(op.required, required...)
		return op
	}
	attributes := []string{"Attribute", "Value"}
	for _, name := range modifiable {
		attributes = append(attributes, name+".Value")
	}

	return map[string]operation{
		"DescribeInstances":            describe("InstanceId.#", describeInstances),
		"DescribeInstanceStatus":       describe("InstanceId.#", describeInstanceStatus, "IncludeAllInstances"),
		"DescribeVolumes":              describe("VolumeId.#", describeVolumes),
		"DescribeImages":               describe("ImageId.#", describeImages, "Owner.#", "ExecutableBy.#", "IncludeDeprecated", "IncludeDisabled"),
		"DescribeSnapshots":            describe("SnapshotId.#", describeSnapshots, "Owner.#"),
		"DescribeSpotInstanceRequests": describe("SpotInstanceRequestId.#", describeSpotInstanceRequests),
		"DescribeTags":                 {params: slices.Concat(filters, pages), do: describeTags},
		"DescribeRegions":              {params: append([]string{"RegionName.#", "AllRegions"}, filters...), do: describeRegions},

		"DescribeInstanceAttribute": with(of("InstanceId", describeInstanceAttribute, "Attribute"), "Attribute"),
		"DescribeImageAttribute":    with(of("ImageId", describeImageAttribute, "Attribute"), "Attribute"),
		"DescribeSnapshotAttribute": with(of("SnapshotId", describeSnapshotAttribute, "Attribute"), "Attribute"),
		"GetConsoleOutput":          of("InstanceId", getConsoleOutput, "Latest"),

		"RunInstances": {
			params: slices.Concat([]string{
				"ImageId", "InstanceType", "MinCount", "MaxCount", "KeyName", "UserData", "ClientToken", "SubnetId",
				"SecurityGroupId.#", "SecurityGroup.#", "PrivateIpAddress", "DisableApiTermination", "EbsOptimized",
				"InstanceInitiatedShutdownBehavior", "IamInstanceProfile.Arn", "IamInstanceProfile.Name",
				"Placement.AvailabilityZone", "Placement.Tenancy", "Monitoring.Enabled",
				"InstanceMarketOptions.MarketType", "InstanceMarketOptions.SpotOptions.MaxPrice",
				"InstanceMarketOptions.SpotOptions.SpotInstanceType", "InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior",
				"MetadataOptions.HttpTokens", "MetadataOptions.HttpEndpoint", "MetadataOptions.HttpPutResponseHopLimit",
				"MetadataOptions.InstanceMetadataTags",
			}, devices, tagSpecs),
			required: []string{"ImageId", "MinCount", "MaxCount"}, do: runInstances,
		},
		"StartInstances":          several(startInstances, "AdditionalInfo"),
		"StopInstances":           several(stopInstances, "Force", "Hibernate"),
		"RebootInstances":         several(rebootInstances),
		"TerminateInstances":      several(terminateInstances),
		"ModifyInstanceAttribute": of("InstanceId", modifyInstanceAttribute, attributes...),

		"CreateImage": with(of("InstanceId", createImage,
			slices.Concat([]string{"Name", "Description", "NoReboot"}, devices, tagSpecs)...), "Name"),
		"CopyImage": with(of("SourceImageId", copyImage, slices.Concat([]string{
			"SourceRegion", "Name", "Description", "Encrypted", "KmsKeyId", "ClientToken", "CopyImageTags", "SnapshotCopyCompletionDurationMinutes",
		}, tagSpecs)...), "SourceRegion", "Name"),
		"ModifyImageAttribute": of("ImageId", modifyImageAttribute, slices.Concat(permissions("LaunchPermission", "UserId", "Group", "OrganizationArn", "OrganizationalUnitArn"), []string{
			"Description.Value", "ImdsSupport.Value", "Value", "OrganizationArn.#", "OrganizationalUnitArn.#",
		})...),
		"DeregisterImage":                      of("ImageId", deregisterImage, "DeleteAssociatedSnapshots"),
		"EnableImageDeprecation":               with(of("ImageId", enableImageDeprecation, "DeprecateAt"), "DeprecateAt"),
		"DisableImageDeprecation":              of("ImageId", disableImageDeprecation),
		"EnableImageDeregistrationProtection":  of("ImageId", enableImageDeregistrationProtection, "WithCooldown"),
		"DisableImageDeregistrationProtection": of("ImageId", disableImageDeregistrationProtection),

		"ModifySnapshotAttribute": of("SnapshotId", modifySnapshotAttribute, permissions("CreateVolumePermission", "UserId", "Group")...),
		"DeleteSnapshot":          of("SnapshotId", deleteSnapshot),

		"CreateTags": {
			params:   []string{"ResourceId.#", "Tag.#.Key", "Tag.#.Value"},
			required: []string{"ResourceId", "Tag"}, do: createTags,
		},
		"DeleteTags": {
			params:   []string{"ResourceId.#", "Tag.#.Key", "Tag.#.Value"},
			required: []string{"ResourceId"}, do: deleteTags,
		},
	}
}
