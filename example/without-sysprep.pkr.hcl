# An image that is not generalized: "Shutdown without Sysprep" of the agents'
# dialogs. The agent sets each instance up again, but all of them have this
# machine's name and SID, so the post-processor has to be told that this is meant.
packer {
  required_plugins {
    ec2-sysprep = {
      source  = "github.com/golden-ami/ec2-sysprep"
      version = ">= 0.1.0"
    }
  }
}

variable "host" { type = string }
variable "port" {
  type    = number
  default = 5986
}
variable "use_ssl" {
  type    = bool
  default = true
}
variable "password" {
  type      = string
  sensitive = true
}
variable "region" { type = string }
variable "ami_name" { type = string }

# For private endpoints and for the lab; leave it out otherwise.
variable "ec2_endpoint" {
  type    = string
  default = null
}

source "null" "windows" {
  communicator   = "winrm"
  winrm_host     = var.host
  winrm_port     = var.port
  winrm_use_ssl  = var.use_ssl
  winrm_insecure = true
  winrm_username = "Administrator"
  winrm_password = var.password
}

build {
  sources = ["source.null.windows"]

  provisioner "ec2-sysprep" {
    winrm_use_ssl       = var.use_ssl
    winrm_insecure      = var.use_ssl
    region              = var.region
    ami_name            = var.ami_name
    custom_endpoint_ec2 = var.ec2_endpoint
    custom_endpoint_sts = var.ec2_endpoint

    action = "shutdown"
  }

  post-processor "ec2-sysprep-ami" {
    region              = var.region
    ami_name            = var.ami_name
    custom_endpoint_ec2 = var.ec2_endpoint
    custom_endpoint_sts = var.ec2_endpoint
    generalized         = false
  }
}
