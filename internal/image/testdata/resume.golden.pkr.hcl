packer {
  required_plugins {
    ec2-sysprep = {
      source  = "github.com/golden-ami/ec2-sysprep"
      version = ">= 0.1.0"
    }
  }
}

source "null" "resume" {
  communicator = "none"
}

build {
  sources = ["source.null.resume"]

  post-processor "ec2-sysprep-ami" {
    instance_id     = "i-0123456789abcdef0"
    region          = "eu-central-1"
    profile         = "images"
    record_path     = "C:\\Users\\me\\packer_cache\\record.json"
    journal_path    = "/cache/journal.json"
    ami_name        = "windows-2022"
    ami_description = "say \"$${hello}\" %%{if}"
    require_proof   = false
    generalized     = false
    tags = {
      "a key" = "b\nc"
      "team"  = "images"
    }
    snapshot_tags = {
      "keep" = "yes"
    }
    # Put the options for your credentials here, as in the first template.
  }
}
