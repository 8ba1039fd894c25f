package windows

// ec2LaunchV1 is EC2Launch v1, a set of PowerShell scripts.
type ec2LaunchV1 struct{}

func (ec2LaunchV1) program(string) program { return nil }
func (ec2LaunchV1) script(string) program  { return nil }
func (ec2LaunchV1) setUp(*Guest)           {}
