# Shape A with a connection of the provisioner's own: Packer does not connect at
# all, so a wrong password or certificate is reported at once, and TLS is checked
# against the authority in a file.
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
variable "ca_file" { type = string }
variable "password" {
  type      = string
  sensitive = true
}
variable "region" { type = string }
variable "ami_name" { type = string }
variable "answer_file" {
  type    = string
  default = null
}

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

  provisioner "ec2-sysprep" {
    winrm_host          = var.host
    winrm_port          = var.port
    winrm_username      = "Administrator"
    winrm_password      = var.password
    winrm_ca_file       = var.ca_file
    answer_file_path    = var.answer_file
    region              = var.region
    ami_name            = var.ami_name
    custom_endpoint_ec2 = var.ec2_endpoint
    custom_endpoint_sts = var.ec2_endpoint
  }

  post-processor "ec2-sysprep-ami" {
    region              = var.region
    ami_name            = var.ami_name
    custom_endpoint_ec2 = var.ec2_endpoint
    custom_endpoint_sts = var.ec2_endpoint
  }
}
