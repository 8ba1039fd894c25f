package ec2_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/clock"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/ec2"
)

// A guest shuts itself down, and a client makes an image of its instance,
// although the first attempt is throttled. Time runs 5000 times as fast.
func Example() {
	ctx := context.Background()
	lab := ec2.New(ec2.Options{Clock: clock.Fast(5000)})
	defer lab.Close()
	server := httptest.NewServer(lab)
	defer server.Close()

	id, err := lab.AddInstance(ec2.Instance{Region: "eu-central-1"})
	if err != nil {
		fmt.Fprintln(os.Stdout, err)
		return
	}
	lab.GuestShutdown(id)
	lab.Throttle("CreateImage", 1)

	client := sdk.New(sdk.Options{
		Region: "eu-central-1", BaseEndpoint: &server.URL,
		Credentials: credentials.NewStaticCredentialsProvider("AKIALAB", "secret", ""),
	})
	image, err := client.CreateImage(ctx, &sdk.CreateImageInput{InstanceId: &id, Name: aws.String("golden")})
	if err != nil {
		fmt.Fprintln(os.Stdout, err)
		return
	}
	wait := sdk.NewImageAvailableWaiter(client, func(o *sdk.ImageAvailableWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, 50*time.Millisecond
	})
	if err := wait.Wait(ctx, &sdk.DescribeImagesInput{ImageIds: []string{*image.ImageId}}, time.Minute); err != nil {
		fmt.Fprintln(os.Stdout, err)
		return
	}
	instance, _ := lab.Instance(id)
	fmt.Fprintln(os.Stdout, lab.Count("CreateImage"), lab.Images("eu-central-1")[0].State, instance.StateReasonCode)
	// Output: 2 available Client.InstanceInitiatedShutdown
}
