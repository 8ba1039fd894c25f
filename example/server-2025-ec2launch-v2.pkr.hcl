# Windows Server 2025 with EC2Launch v2: a whole agent-config.yml from the template,
# and a limit for an agent that is still at work when the provisioner comes.
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

    agent         = "ec2launch-v2"
    agent_timeout = "15m"

    agent_config {
      ec2launch_v2 {
        content = yamlencode({
          version = "1.1"
          config = [
            { stage = "boot", tasks = [{ task = "extendRootPartition" }] },
            {
              stage = "preReady"
              tasks = [
                { task = "activateWindows", inputs = { activation = { type = "amazon" } } },
                { task = "setDnsSuffix", inputs = { suffixes = ["$REGION.ec2-utilities.amazonaws.com"] } },
                { task = "setAdminAccount", inputs = { password = { type = "random" } } },
              ]
            },
            { stage = "postReady", tasks = [{ task = "startSsm" }] },
          ]
        })
      }
    }

    setup_complete {
      commands = ["echo set up > C:\\set-up.txt"]
    }

    close_winrm = true
  }

  post-processor "ec2-sysprep-ami" {
    region              = var.region
    ami_name            = var.ami_name
    custom_endpoint_ec2 = var.ec2_endpoint
    custom_endpoint_sts = var.ec2_endpoint
  }
}
