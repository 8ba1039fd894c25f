# Shape C, carry on: the guest was sealed by an earlier build that ended before
# its AMI was made. A failed build prints such a template, filled in.
packer {
  required_plugins {
    ec2-sysprep = {
      source  = "github.com/golden-ami/ec2-sysprep"
      version = ">= 0.1.0"
    }
  }
}

variable "instance_id" { type = string }
variable "record_path" { type = string }
variable "region" { type = string }
variable "ami_name" { type = string }

# For private endpoints and for the lab; leave them out otherwise.
variable "ec2_endpoint" {
  type    = string
  default = null
}

source "null" "windows" {
  communicator = "none"
}

build {
  sources = ["source.null.windows"]

  post-processor "ec2-sysprep-ami" {
    instance_id         = var.instance_id
    record_path         = var.record_path
    region              = var.region
    ami_name            = var.ami_name
    custom_endpoint_ec2 = var.ec2_endpoint
    custom_endpoint_sts = var.ec2_endpoint
  }
}
