# What the integrations registry shows of the plugin; "make generate" writes everything else in this folder from docs.
integration {
  name        = "EC2 Sysprep"
  description = "Turn a customized Windows instance on Amazon EC2 into a standard, sysprepped AMI, safely and with evidence."
  identifier  = "packer/golden-ami/ec2-sysprep"
  component {
    type = "provisioner"
    name = "EC2 Sysprep"
    slug = "ec2-sysprep"
  }
  component {
    type = "post-processor"
    name = "EC2 Sysprep AMI"
    slug = "ec2-sysprep-ami"
  }
}
