# Windows Server 2016 with EC2Launch v1: settings of LaunchConfig.json, drive
# letters, and commands for the specialize pass.
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

    agent = "ec2launch-v1"

    administrator_password {
      mode = "random"
    }

    agent_config {
      ec2launch_v1 {
        set_wallpaper    = false
        handle_user_data = true
        initialize_disks = true
        send_event_logs  = true

        drive_letter {
          volume = "Data"
          letter = "M"
        }

        event_log {
          log     = "System"
          level   = "Error"
          entries = 5
        }
      }
    }

    sysprep_specialize {
      commands = ["echo specialized > C:\\specialized.txt"]
    }
  }

  post-processor "ec2-sysprep-ami" {
    region              = var.region
    ami_name            = var.ami_name
    custom_endpoint_ec2 = var.ec2_endpoint
    custom_endpoint_sts = var.ec2_endpoint
  }
}
