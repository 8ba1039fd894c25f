//go:build never

package main

import (
	_ "github.com/Azure/go-ntlmssp"
	_ "github.com/aws/aws-sdk-go-v2/aws"
	_ "github.com/aws/aws-sdk-go-v2/config"
	_ "github.com/aws/aws-sdk-go-v2/credentials"
	_ "github.com/aws/aws-sdk-go-v2/service/ec2"
	_ "github.com/aws/aws-sdk-go-v2/service/sts"
	_ "github.com/aws/smithy-go"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/google/uuid"
	_ "github.com/hashicorp/aws-sdk-go-base/v2"
	_ "github.com/hashicorp/hcl/v2/hcldec"
	_ "github.com/hashicorp/packer-plugin-sdk/plugin"
	_ "github.com/masterzen/winrm"
	_ "github.com/zclconf/go-cty/cty"
	_ "golang.org/x/crypto/md4"
	_ "golang.org/x/text/encoding/unicode"
	_ "golang.org/x/time/rate"
)
