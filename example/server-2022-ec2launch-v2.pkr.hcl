# Windows Server 2022 with EC2Launch v2: single tasks of agent-config.yml and
# settings of the answer file. The output shows what differs from AWS's own files.
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

    agent = "ec2launch-v2"

    administrator_password {
      mode = "random"
    }

    agent_config {
      ec2launch_v2 {
        remove_tasks = ["setWallpaper"]

        task {
          stage = "postReady"
          name  = "enableJumboFrames"
        }
        task {
          stage = "postReady"
          name  = "executeScript"
          inputs = jsonencode([{
            frequency = "once"
            type      = "powershell"
            runAs     = "localSystem"
            content   = "New-Item -Path C:\\first-boot.txt -ItemType File"
          }])
        }
      }
    }

    answer_file {
      time_zone               = "W. Europe Standard Time"
      user_locale             = "de-DE"
      registered_organization = "Golden Images"

      run_synchronous {
        description = "Note the first boot"
        path        = "cmd.exe /c echo specialized > C:\\specialized.txt"
      }
    }

    show_changes = true
  }

  post-processor "ec2-sysprep-ami" {
    region              = var.region
    ami_name            = var.ami_name
    custom_endpoint_ec2 = var.ec2_endpoint
    custom_endpoint_sts = var.ec2_endpoint
  }
}
