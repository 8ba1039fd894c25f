package windows

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// moment is what every time of an answer is replaced by.
var moment = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z"`)

func TestEachCallIsAnswered(t *testing.T) {
	const key = `HKLM\\SOFTWARE\\Lab`
	tests := []struct {
		name    string
		machine func(m *Machine)
		calls   []string
		want    []string
	}{
		{
			"who and where",
			nil,
			[]string{`{"op":"hello"}`},
			[]string{`{"protocol":1,"powershell":"5.1.20348.2849","edition":"Desktop","language":"FullLanguage","windows":true,"os64":true,"process64":true,"architecture":"AMD64","computer":"EC2AMAZ-LAB2022","user":"EC2AMAZ-LAB2022\\Administrator","sid":"S-1-5-21-1713042563-2043160183-3206215862-500","administrator":true,"culture":"en-US","time":T,"boot":T,"folders":{"ProgramData":"C:\\ProgramData","ProgramFiles":"C:\\Program Files","SystemDrive":"C:","TEMP":"C:\\Users\\Administrator\\AppData\\Local\\Temp","windir":"C:\\Windows"}}`},
		},
		{
			"registry values of every kind come back as they are",
			func(m *Machine) {
				m.SetRegistry(`HKLM\SOFTWARE\Lab!text`, Text("ä%windir%"))
				m.SetRegistry(`HKLM\SOFTWARE\Lab!path`, Expandable(`%windir%\x`))
				m.SetRegistry(`HKLM\SOFTWARE\Lab!number`, Word("4294967295"))
				m.SetRegistry(`HKLM\SOFTWARE\Lab!list`, Texts("a", "", "b"))
				m.SetRegistry(`HKLM\SOFTWARE\Lab!`, Text("default"))
				m.SetRegistry(`HKLM\SOFTWARE\Lab\Below!x`, Text("y"))
			},
			[]string{
				`{"op":"registry.read","path":"hklm\\software\\LAB","name":"TEXT"}`,
				`{"op":"registry.read","path":"` + key + `","name":"number"}`,
				`{"op":"registry.read","path":"` + key + `","name":""}`,
				`{"op":"registry.read","path":"` + key + `","name":"nothing"}`,
				`{"op":"registry.read","path":"HKLM\\SOFTWARE\\Nothing","name":"x"}`,
				`{"op":"registry.read","path":"` + key + `","key":true}`,
				`{"op":"registry.read","path":"HKLM\\SOFTWARE\\Nothing","key":true}`,
				`{"op":"registry.read","path":"HKXX\\SOFTWARE","name":"x"}`,
			},
			[]string{
				`{"exists":true,"name":"TEXT","kind":"String","text":"\u00e4%windir%"}`,
				`{"exists":true,"name":"number","kind":"DWord","text":"4294967295"}`,
				`{"exists":true,"kind":"String","text":"default"}`,
				`{"exists":false}`,
				`{"exists":false}`,
				`{"exists":true,"keys":["Below"],"values":[{"exists":true,"kind":"String","text":"default"},{"exists":true,"name":"list","kind":"MultiString","texts":["a","","b"]},{"exists":true,"name":"number","kind":"DWord","text":"4294967295"},{"exists":true,"name":"path","kind":"ExpandString","text":"%windir%\\x"},{"exists":true,"name":"text","kind":"String","text":"\u00e4%windir%"}]}`,
				`{"exists":false}`,
				`{"error":{"kind":"invalid","message":"unknown hive in HKXX\\SOFTWARE"}}`,
			},
		},
		{
			"a key that may not be opened",
			func(m *Machine) { m.DeniedKeys = []string{`HKLM\SOFTWARE\Lab`} },
			[]string{`{"op":"registry.read","path":"` + key + `\\Below","name":"x"}`},
			[]string{`{"error":{"kind":"denied","message":"Requested registry access is not allowed."}}`},
		},
		{
			"a registry write happens once and only on what it expects",
			nil,
			[]string{
				`{"op":"registry.write","path":"` + key + `","name":"x","set":{"exists":true,"kind":"DWord","text":"1"},"expect":{"exists":false}}`,
				`{"op":"registry.write","path":"` + key + `","name":"x","set":{"exists":true,"kind":"DWord","text":"1"},"expect":{"exists":false}}`,
				`{"op":"registry.write","path":"` + key + `","name":"x","set":{"exists":true,"kind":"DWord","text":"2"},"expect":{"exists":false}}`,
				`{"op":"registry.write","path":"` + key + `","name":"x","set":{"exists":true,"kind":"DWord","text":"2"},"expect":{"exists":true,"kind":"DWord","text":"1"}}`,
				`{"op":"registry.write","path":"` + key + `","name":"y","set":{"exists":true,"kind":"None","text":"2"}}`,
				`{"op":"registry.write","path":"` + key + `","name":"y","set":{"exists":true,"kind":"DWord","text":"-1"}}`,
				`{"op":"registry.write","path":"` + key + `","name":"y"}`,
				`{"op":"registry.delete","path":"` + key + `","name":"X"}`,
				`{"op":"registry.delete","path":"` + key + `","name":"X"}`,
				`{"op":"registry.delete","path":"` + key + `","key":true}`,
				`{"op":"registry.delete","path":"` + key + `","key":true}`,
				`{"op":"registry.delete","path":"HKLM","key":true}`,
			},
			[]string{
				`{"changed":true}`, `{"changed":false}`,
				`{"error":{"kind":"conflict","message":"another value was found in HKLM\\SOFTWARE\\Lab, x"}}`,
				`{"changed":true}`,
				`{"error":{"kind":"invalid","message":"unknown kind of value None"}}`,
				`{"error":{"kind":"failed","message":"Input string was not in a correct format."}}`,
				`{"error":{"kind":"invalid","message":"nothing to set"}}`,
				`{"changed":true}`, `{"changed":false}`, `{"changed":true}`, `{"changed":false}`,
				`{"error":{"kind":"invalid","message":"a hive cannot be deleted"}}`,
			},
		},
		{
			"a file is written in pieces, read in parts and deleted",
			nil,
			[]string{
				`{"op":"folder","path":"%ProgramData%\\Lab","private":true}`,
				`{"op":"folder","path":"C:\\ProgramData\\Lab","private":true}`,
				`{"op":"file.write","path":"C:\\ProgramData\\Lab\\a.txt","data":"aGVsbG8="}`,
				`{"op":"file.write","path":"C:\\ProgramData\\Lab\\a.txt","offset":5,"data":"IQ==","sha256":"ce06092fb948d9ffac7d1a376e404b26b7575bcc11ee05a4615fef4fec3a308b"}`,
				`{"op":"file.write","path":"C:\\ProgramData\\Lab\\a.txt","offset":5,"data":"IQ==","sha256":"ce06092fb948d9ffac7d1a376e404b26b7575bcc11ee05a4615fef4fec3a308b"}`,
				`{"op":"file.write","path":"C:\\ProgramData\\Lab\\a.txt","offset":9,"data":"IQ=="}`,
				`{"op":"file.write","path":"C:\\ProgramData\\Lab\\a.txt","data":"IQ==","sha256":"00"}`,
				`{"op":"file.stat","path":"c:\\programdata\\LAB\\A.TXT","hash":true}`,
				`{"op":"file.write","path":"C:\\ProgramData\\Lab\\a.txt","data":"aGVsbG8="}`,
				`{"op":"file.read","path":"C:\\ProgramData\\Lab\\a.txt","offset":1,"length":3}`,
				`{"op":"file.read","path":"C:\\ProgramData\\Lab\\a.txt","offset":-2,"length":9}`,
				`{"op":"file.read","path":"C:\\ProgramData\\Lab\\a.txt","offset":99,"length":9}`,
				`{"op":"file.read","path":"C:\\nothing","offset":0,"length":9}`,
				`{"op":"file.delete","path":"C:\\ProgramData\\Lab"}`,
				`{"op":"file.delete","path":"C:\\ProgramData\\Lab","recurse":true}`,
				`{"op":"file.delete","path":"C:\\ProgramData\\Lab","recurse":true}`,
				`{"op":"file.write","path":"C:\\ProgramData\\Lab\\a.txt","data":"IQ=="}`,
			},
			[]string{
				`{"changed":true}`, `{"changed":false}`,
				`{"changed":true,"size":5}`,
				`{"changed":true,"size":6,"sha256":"ce06092fb948d9ffac7d1a376e404b26b7575bcc11ee05a4615fef4fec3a308b"}`,
				`{"changed":false,"size":6,"sha256":"ce06092fb948d9ffac7d1a376e404b26b7575bcc11ee05a4615fef4fec3a308b"}`,
				`{"error":{"kind":"conflict","message":"the part of C:\\ProgramData\\Lab\\a.txt before this piece is missing"}}`,
				`{"error":{"kind":"failed","message":"C:\\ProgramData\\Lab\\a.txt has the hash bb7208bc9b5d7c04f1236a82a0093a5e33f40423d5ba8d4266f7092c3ba43b62 after it was written"}}`,
				`{"exists":true,"size":1,"modified":T,"created":T,"sha256":"bb7208bc9b5d7c04f1236a82a0093a5e33f40423d5ba8d4266f7092c3ba43b62"}`,
				`{"changed":true,"size":5}`,
				`{"exists":true,"size":5,"offset":1,"data":"ZWxs"}`,
				`{"exists":true,"size":5,"offset":3,"data":"bG8="}`,
				`{"exists":true,"size":5,"offset":5}`,
				`{"exists":false}`,
				`{"error":{"kind":"invalid","message":"C:\\ProgramData\\Lab is a folder"}}`,
				`{"changed":true}`, `{"changed":false}`,
				`{"error":{"kind":"missing","message":"Could not find a part of the path 'C:\\ProgramData\\Lab\\a.txt'."}}`,
			},
		},
		{
			"an exclusive file belongs to who was first",
			nil,
			[]string{
				`{"op":"file.write","path":"C:\\claim","data":"YQ==","sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","new":true}`,
				`{"op":"file.write","path":"C:\\claim","data":"YQ==","sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","new":true}`,
				`{"op":"file.write","path":"C:\\claim","data":"Yg==","sha256":"3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d","new":true}`,
			},
			[]string{
				`{"changed":true,"size":1,"sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}`,
				`{"changed":false,"size":1,"sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}`,
				`{"error":{"kind":"conflict","message":"C:\\claim exists already"}}`,
			},
		},
		{
			"a move is recognised when it is repeated",
			func(m *Machine) { m.SetFile(`C:\a`, "hello") },
			[]string{
				`{"op":"file.move","path":"C:\\a","to":"C:\\b","sha256":"00"}`,
				`{"op":"file.move","path":"C:\\a","to":"C:\\b","sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}`,
				`{"op":"file.move","path":"C:\\a","to":"C:\\b","sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}`,
				`{"op":"file.move","path":"C:\\a","to":"C:\\b"}`,
				`{"op":"file.move","path":"C:\\b","to":""}`,
			},
			[]string{
				`{"error":{"kind":"conflict","message":"C:\\a has other content"}}`,
				`{"changed":true}`, `{"changed":false}`,
				`{"error":{"kind":"missing","message":"C:\\a does not exist"}}`,
				`{"error":{"kind":"invalid","message":"no to"}}`,
			},
		},
		{
			"a folder is listed by a pattern, programs tell their version",
			func(m *Machine) {
				m.SetFile(`C:\Lab\one.log`, "1")
				m.SetFile(`C:\Lab\two.txt`, "")
				m.SetFile(`C:\Lab\Sub\x`, "")
			},
			[]string{
				`{"op":"file.list","path":"C:\\lab"}`,
				`{"op":"file.list","path":"C:\\Lab","pattern":"*.LOG"}`,
				`{"op":"file.list","path":"C:\\Lab\\one.log"}`,
				`{"op":"file.stat","path":"%ProgramFiles%\\Amazon\\EC2Launch\\EC2Launch.exe"}`,
				`{"op":"file.stat","path":"C:\\Lab"}`,
				`{"op":"file.stat","path":""}`,
			},
			[]string{
				`{"exists":true,"entries":[{"name":"one.log","size":1,"modified":T},{"name":"Sub","folder":true,"modified":T},{"name":"two.txt","modified":T}]}`,
				`{"exists":true,"entries":[{"name":"one.log","size":1,"modified":T}]}`,
				`{"exists":false}`,
				`{"exists":true,"size":15,"modified":T,"created":T,"version":"2.0.2107.0"}`,
				`{"exists":true,"folder":true,"modified":T,"created":T}`,
				`{"error":{"kind":"invalid","message":"no path"}}`,
			},
		},
		{
			"CIM answers by class, filter and properties",
			nil,
			[]string{
				`{"op":"cim","namespace":"root\\cimv2","class":"Win32_Service","filter":"Name='WinRM' OR Name LIKE 'Amazon%'","properties":["Name","State","StartMode"],"seconds":30}`,
				`{"op":"cim","namespace":"root\\cimv2","class":"Win32_UserAccount","filter":"LocalAccount=True AND NOT Disabled=TRUE","properties":["Name","SID"],"seconds":30}`,
				`{"op":"cim","namespace":"root\\cimv2\\Security\\MicrosoftVolumeEncryption","class":"Win32_EncryptableVolume","properties":["DriveLetter","ProtectionStatus","Nothing"],"seconds":30}`,
				`{"op":"cim","namespace":"root\\cimv2","class":"Win32_OperatingSystem","properties":["LastBootUpTime","BuildNumber"],"seconds":30}`,
				`{"op":"cim","namespace":"root\\cimv2","class":"Win32_Nothing","properties":["Name"],"seconds":30}`,
				`{"op":"cim","namespace":"root\\cimv2","class":"Win32_Process","filter":"Name=","properties":["Name"],"seconds":30}`,
			},
			[]string{
				`{"objects":[{"Name":"Amazon EC2Launch","StartMode":"Auto","State":"Stopped"},{"Name":"AmazonSSMAgent","StartMode":"Auto","State":"Running"},{"Name":"WinRM","StartMode":"Auto","State":"Running"}]}`,
				`{"objects":[{"Name":"Administrator","SID":"S-1-5-21-1713042563-2043160183-3206215862-500"}]}`,
				`{"objects":[{"DriveLetter":"C:","ProtectionStatus":"0"}]}`,
				`{"objects":[{"BuildNumber":"20348","LastBootUpTime":T}]}`,
				`{"error":{"kind":"missing","message":"Invalid class \"root\\cimv2:Win32_Nothing\""}}`,
				`{"error":{"kind":"failed","message":"Invalid query: a value is missing"}}`,
			},
		},
		{
			"processes by name",
			nil,
			[]string{`{"op":"processes","names":["System","sysprep","nothing"]}`, `{"op":"processes","names":[]}`},
			[]string{`{"processes":[{"name":"System","pid":4}]}`, `{"processes":[]}`},
		},
		{
			"programs that run",
			nil,
			[]string{
				`{"op":"run","file":"hostname.exe","arguments":"","milliseconds":1000}`,
				`{"op":"run","file":"%windir%\\System32\\schtasks.exe","arguments":"/delete /f /tn \"nothing\"","milliseconds":1000}`,
				`{"op":"run","file":"%ProgramFiles%\\Amazon\\EC2Launch\\EC2Launch.exe","arguments":"status","milliseconds":1000}`,
				`{"op":"run","file":"C:\\nothing.exe","arguments":"","milliseconds":1000}`,
				`{"op":"run","file":"C:\\Windows\\System32\\Sysprep\\sysprep.exe","arguments":"","milliseconds":1000}`,
				`{"op":"run","file":"","arguments":"","milliseconds":1000}`,
			},
			[]string{
				`{"code":0,"stdout":"RUMyQU1BWi1MQUIyMDIyDQo="}`,
				`{"code":1,"stderr":"RVJST1I6IFRoZSBzeXN0ZW0gY2Fubm90IGZpbmQgdGhlIGZpbGUgc3BlY2lmaWVkLg0K"}`,
				`{"code":0}`,
				`{"error":{"kind":"missing","message":"C:\\nothing.exe could not be started: The system cannot find the file specified"}}`,
				`{"code":-1,"timed_out":true}`,
				`{"error":{"kind":"invalid","message":"no file"}}`,
			},
		},
		{
			"starting outside the session is refused",
			func(m *Machine) { m.Start.TaskDenied, m.Start.CIMRefused = true, true },
			[]string{
				`{"op":"start","via":"task","name":"x","file":"cmd.exe","arguments":"","folder":"C:\\"}`,
				`{"op":"start","via":"cim","name":"x","file":"cmd.exe","arguments":"","folder":"C:\\"}`,
			},
			[]string{
				`{"error":{"kind":"denied","message":"Access is denied. (Exception from HRESULT: 0x80070005 (E_ACCESSDENIED))"}}`,
				`{"error":{"kind":"failed","message":"Win32_Process.Create returned 2"}}`,
			},
		},
		{
			"instance metadata",
			nil,
			[]string{`{"op":"metadata","paths":["meta-data/instance-id","meta-data/nothing"],"milliseconds":1000}`},
			[]string{`{"reachable":true,"items":[{"path":"meta-data/instance-id","status":200,"body":"i-0123456789abcdef0"},{"path":"meta-data/nothing","status":404}]}`},
		},
		{
			"no instance metadata",
			func(m *Machine) { m.MetadataOff = true },
			[]string{`{"op":"metadata","paths":["meta-data/instance-id"],"milliseconds":1000}`},
			[]string{`{"reachable":false}`},
		},
		{
			"installed things are unknown where there are no cmdlets",
			func(m *Machine) { m.NoAppX, m.Features = true, nil },
			[]string{`{"op":"installed","appx":true,"features":true}`},
			[]string{`{"appx_known":false,"features_known":false}`},
		},
		{
			"installed features",
			func(m *Machine) { m.Features = []string{"Web-Server"} },
			[]string{`{"op":"installed","features":true}`},
			[]string{`{"appx_known":false,"features_known":true,"features":["Web-Server"]}`},
		},
		{
			"how WinRM is exposed",
			nil,
			[]string{`{"op":"winrm"}`},
			[]string{`{"known":true,"listeners":[{"transport":"HTTP","port":"5985","address":"*","enabled":true}],"basic":false,"unencrypted":false}`},
		},
		{
			"a call that nobody knows, and arguments of the wrong form",
			nil,
			[]string{`{"op":"fly"}`, `{"op":"file.stat","path":7}`},
			[]string{`{"error":{"kind":"invalid","message":"unknown call fly"}}`, ``},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := Server2022()
			if test.machine != nil {
				test.machine(&m)
			}
			bubble(t, m, func(t *testing.T, b *bench) {
				s := b.open()
				defer s.close()
				for i, answer := range s.ask(test.calls...) {
					var compact bytes.Buffer
					if err := json.Compact(&compact, answer); err != nil {
						t.Fatal(err)
					}
					got := moment.ReplaceAllString(compact.String(), "T")
					switch {
					case test.want[i] == "":
						if !strings.Contains(got, `"error"`) {
							t.Errorf("call %s\n got %s\nwant an error", test.calls[i], got)
						}
					case got != test.want[i]:
						t.Errorf("call %s\n got %s\nwant %s", test.calls[i], got, test.want[i])
					}
				}
			})
		})
	}
}

func TestALineThatIsNoRequest(t *testing.T) {
	bubble(t, Server2022(), func(t *testing.T, b *bench) {
		s := b.open()
		defer s.close()
		if _, err := s.stdin.Write([]byte("\nnonsense\n")); err != nil {
			t.Fatal(err)
		}
		if reply := s.reply(); reply.ID != 0 || reply.Error == nil || reply.Error.Kind != guest.KindFailed {
			t.Errorf("reply %+v", reply)
		}
		s.ask(`{"op":"hello"}`)
	})
}
