package windows

// ec2Config is the EC2Config service.
type ec2Config struct{}

func (ec2Config) program(string) program { return nil }
func (ec2Config) script(string) program  { return nil }
func (ec2Config) setUp(*Guest)           {}
