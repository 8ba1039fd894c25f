package lab_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

// client talks to the lab's EC2 API as a real one.
func client(l *lab.Lab) *awsec2.Client {
	return awsec2.New(awsec2.Options{
		Region: l.Region(), BaseEndpoint: aws.String(l.Endpoint()),
		Credentials: credentials.NewStaticCredentialsProvider(lab.AccessKey, lab.SecretKey, ""),
	})
}

// launch runs an instance through the API and returns its id.
func launch(t *testing.T, l *lab.Lab) string {
	t.Helper()
	image, err := l.EC2.AddImage(ec2.Image{Name: "Windows_Server-2022-English-Full-Base-2026.01.14"})
	if err != nil {
		t.Fatal(err)
	}
	out, err := client(l).RunInstances(t.Context(), &awsec2.RunInstancesInput{
		ImageId: aws.String(image), InstanceType: "t3.large", MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
	})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.Instances[0].InstanceId)
}
