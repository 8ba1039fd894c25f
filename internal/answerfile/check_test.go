package answerfile

import (
	"fmt"
	"strings"
	"testing"
)

// identity is what names a component; in is a file with one component in a pass.
const identity = `processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35" language="neutral" versionScope="nonSxS" xmlns:wcm="http://schemas.microsoft.com/WMIConfig/2002/State"`

func in(pass, component, inner string) string {
	return "<unattend xmlns=\"urn:schemas-microsoft-com:unattend\">\n<settings pass=\"" + pass + "\">\n<component name=\"" + component + "\" " + identity + ">\n" + inner + "\n</component>\n</settings>\n</unattend>"
}

func command(order, path string) string {
	return `<RunSynchronous><RunSynchronousCommand wcm:action="add"><Order>` + order + `</Order><Path>` + path + `</Path></RunSynchronousCommand></RunSynchronous>`
}

// checks are files and what is found in each: severity, ID, line:column.
var checks = []struct {
	name string
	text string
	opts CheckOptions
	want []string
}{
	{"a file as it should be", in("specialize", shellSetup, "<TimeZone>UTC</TimeZone>"), CheckOptions{}, nil},
	{"another root", "<autounattend/>", CheckOptions{}, []string{"error root-element 1:1"}},
	{"no namespace", "<unattend>\n<settings/></unattend>", CheckOptions{}, []string{"error namespace 1:1"}},
	{"a document type", "<!DOCTYPE unattend>\n" + in("specialize", shellSetup, ""), CheckOptions{}, []string{"error doctype 1:1"}},
	{"an unbound prefix of an attribute", strings.Replace(in("specialize", deployment, command("1", "x")), ` xmlns:wcm="http://schemas.microsoft.com/WMIConfig/2002/State"`, "", 1), CheckOptions{}, []string{"error unbound-prefix 4:40"}},
	{"an unbound prefix of an element", in("specialize", shellSetup, "<x:A/>"), CheckOptions{}, []string{"error unbound-prefix 4:1"}},
	{"a pass in the wrong case", in("Specialize", shellSetup, ""), CheckOptions{}, []string{"error unknown-pass 2:17"}},
	{"no pass", strings.Replace(in("specialize", shellSetup, ""), ` pass="specialize"`, "", 1), CheckOptions{}, []string{"error unknown-pass 2:1"}},
	{"a pass that Sysprep never runs", in("windowsPE", shellSetup, ""), CheckOptions{}, []string{"info pass-unused 2:1"}},
	{"a pass twice", strings.Replace(in("specialize", shellSetup, ""), "</unattend>", "<settings pass=\"specialize\"/></unattend>", 1), CheckOptions{}, []string{"warning duplicate-pass 7:1"}},
	{"a pass that was processed", strings.Replace(in("specialize", shellSetup, ""), `pass="specialize"`, `pass="specialize" wasPassProcessed="true"`, 1), CheckOptions{}, []string{"error pass-processed 2:29"}},
	{"a pass that was not processed", strings.Replace(in("specialize", shellSetup, ""), `pass="specialize"`, `pass="specialize" wasPassProcessed="false"`, 1), CheckOptions{}, nil},
	{"servicing", strings.Replace(in("specialize", shellSetup, ""), "<settings", "<servicing/>\n<settings", 1), CheckOptions{}, []string{"info servicing 2:1"}},
	{"an element that is none of ours", strings.Replace(in("specialize", shellSetup, ""), "<settings", "<setings/>\n<settings", 1), CheckOptions{}, []string{"warning unknown-element 2:1"}},
	{"a setting without component", strings.Replace(in("specialize", shellSetup, ""), "<component", "<TimeZone>UTC</TimeZone>\n<component", 1), CheckOptions{}, []string{"error unknown-element 3:1"}},
	{"text between components", strings.Replace(in("specialize", shellSetup, ""), "<component", "oops\n<component", 1), CheckOptions{}, []string{"error stray-text 3:1"}},
	{"text between settings", in("specialize", shellSetup, "<OOBE>x<HideEULAPage>true</HideEULAPage></OOBE>"), CheckOptions{}, []string{"error stray-text 4:7"}},
	{"a component without version scope", strings.Replace(in("specialize", shellSetup, ""), ` versionScope="nonSxS"`, "", 1), CheckOptions{}, []string{"error component-identity 3:1"}},
	{"another public key", strings.Replace(in("specialize", shellSetup, ""), "31bf3856ad364e35", "0000000000000000", 1), CheckOptions{}, []string{"error component-identity 3:95"}},
	{"another architecture", strings.Replace(in("specialize", shellSetup, ""), `"amd64"`, `"wow64"`, 1), CheckOptions{}, []string{"error architecture 3:72"}},
	{"the guest's architecture", strings.Replace(in("specialize", shellSetup, ""), `"amd64"`, `"arm64"`, 1), CheckOptions{Architecture: "ARM64"}, nil},
	{"a twin for another architecture", strings.Replace(in("specialize", shellSetup, ""), "</settings>", `<component name="`+shellSetup+`" `+strings.Replace(identity, "amd64", "x86", 1)+"/>\n</settings>", 1), CheckOptions{}, []string{"info architecture 6:72"}},
	{"a component twice", strings.Replace(in("specialize", shellSetup, ""), "</settings>", `<component name="`+shellSetup+`" `+identity+"/>\n</settings>", 1), CheckOptions{}, []string{"error duplicate-component 6:1"}},
	{"a setting twice", in("specialize", shellSetup, "<TimeZone>UTC</TimeZone>\n<TimeZone>UTC</TimeZone>"), CheckOptions{}, []string{"error duplicate-setting 5:1"}},
	{"list items of one name", in("specialize", "X", `<A wcm:action="add"/><A wcm:action="add"/><B wcm:keyValue="x"/><B wcm:keyValue="y"/>`), CheckOptions{}, nil},
	{"a boolean that is none", in("specialize", shellSetup, "<CopyProfile>yes</CopyProfile>"), CheckOptions{}, []string{"error value 4:14"}},
	{"a computer name that is too long", in("specialize", shellSetup, "<ComputerName>SIXTEEN-LETTERS1</ComputerName>"), CheckOptions{}, []string{"error value 4:15"}},
	{"a placeholder of the agent", in("oobeSystem", international, "<InputLocale/><SystemLocale></SystemLocale>"), CheckOptions{}, nil},
	{"a broken line in a value", in("specialize", shellSetup, "<RegisteredOwner>a\n\tb</RegisteredOwner>"), CheckOptions{}, []string{"warning value-control-character 4:18", "error value 4:18"}},
	{"white space around a command", in("specialize", deployment, command("1", "\n x\n")), CheckOptions{}, []string{"warning value-space 4:79"}},
	{"a command that is too long", in("specialize", deployment, command("1", strings.Repeat("x", 260))), CheckOptions{}, []string{"error command-length 4:79"}},
	{"a command as long as may be", in("specialize", deployment, command("1", strings.Repeat("x", 259))), CheckOptions{}, nil},
	{"a first logon command that is too long", in("oobeSystem", shellSetup, `<FirstLogonCommands><SynchronousCommand wcm:action="add"><Order>1</Order><CommandLine>`+strings.Repeat("x", 1025)+`</CommandLine></SynchronousCommand></FirstLogonCommands>`), CheckOptions{}, []string{"error command-length 4:87"}},
	{"the empty first command of EC2Launch v1", in("specialize", deployment, command("1", "")), CheckOptions{}, []string{"info command-empty 4:73"}},
	{"another empty command", in("specialize", deployment, command("2", "")), CheckOptions{}, []string{"warning command-empty 4:73"}},
	{"no command", in("specialize", deployment, strings.Replace(command("1", "x"), "<Path>x</Path>", "", 1)), CheckOptions{}, []string{"error command-missing 4:17"}},
	{"no order", in("specialize", deployment, strings.Replace(command("1", "x"), "<Order>1</Order>", "", 1)), CheckOptions{}, []string{"error command-order 4:17"}},
	{"an order that is no number", in("specialize", deployment, command("first", "x")), CheckOptions{}, []string{"error command-order 4:64"}},
	{"an order twice", in("specialize", deployment, strings.Replace(command("1", "x"), "</RunSynchronous>", "\n<RunSynchronousCommand wcm:action=\"add\"><Order>1</Order><Path>y</Path></RunSynchronousCommand></RunSynchronous>", 1)), CheckOptions{}, []string{"error command-order 5:48"}},
	{"a reboot that nobody knows", in("specialize", deployment, strings.Replace(command("1", "x"), "<Path>", "<WillReboot>Maybe</WillReboot><Path>", 1)), CheckOptions{}, []string{"error value 4:85"}},
	{"a clear-text password", in("oobeSystem", shellSetup, "<UserAccounts><AdministratorPassword>\n<Value>hunter2</Value><PlainText>true</PlainText></AdministratorPassword></UserAccounts>"), CheckOptions{}, []string{"warning clear-text-secret 5:1"}},
	{"an encoded password", in("oobeSystem", shellSetup, "<UserAccounts><AdministratorPassword>\n<Value>"+encodePassword("hunter2", administratorSuffix)+"</Value><PlainText>false</PlainText></AdministratorPassword></UserAccounts>"), CheckOptions{}, nil},
	{"a password that is not encoded", in("oobeSystem", shellSetup, "<UserAccounts><AdministratorPassword>\n<Value>hunter2</Value><PlainText>false</PlainText></AdministratorPassword></UserAccounts>"), CheckOptions{}, []string{"error password-encoding 5:1"}},
	{"a password encoded for another element", in("oobeSystem", shellSetup, "<UserAccounts><AdministratorPassword>\n<Value>"+encodePassword("hunter2", "Password")+"</Value><PlainText>false</PlainText></AdministratorPassword></UserAccounts>"), CheckOptions{}, []string{"error password-encoding 5:1"}},
	{"a domain password", in("specialize", "Microsoft-Windows-UnattendedJoin", "<Identification><Credentials><Password>hunter2</Password></Credentials></Identification>"), CheckOptions{}, []string{"warning clear-text-secret 4:30"}},
	{"an automatic logon", in("oobeSystem", shellSetup, "<AutoLogon><Enabled>true</Enabled></AutoLogon>"), CheckOptions{}, []string{"warning auto-logon 4:1"}},
	{"a renamed Administrator", in("specialize", deployment, command("1", "net user Administrator /ACTIVE:YES")), CheckOptions{AdministratorName: "Chef"}, []string{"error renamed-administrator 4:79"}},
	{"an Administrator of that name", in("specialize", deployment, command("1", "net user Administrator /ACTIVE:YES")), CheckOptions{AdministratorName: "administrator"}, nil},
	{"a letter outside ASCII", in("specialize", shellSetup, "<RegisteredOwner>für</RegisteredOwner>"), CheckOptions{}, []string{"warning non-ascii-without-bom 4:19"}},
	{"a letter outside ASCII with a mark", "\ufeff" + in("specialize", shellSetup, "<RegisteredOwner>für</RegisteredOwner>"), CheckOptions{}, nil},
	{"UTF-8 that calls itself UTF-16", `<?xml version="1.0" encoding="utf-16"?>` + in("specialize", shellSetup, ""), CheckOptions{}, []string{"error encoding-mismatch 1:1"}},
	{"UTF-16 that calls itself UTF-8", string(wide(`<?xml version="1.0" encoding="utf-8"?>`+in("specialize", shellSetup, ""), false, true)), CheckOptions{}, []string{"error encoding-mismatch 1:1"}},
	{"ANSI", `<?xml version="1.0" encoding="windows-1252"?>` + in("specialize", shellSetup, ""), CheckOptions{}, []string{"warning encoding-unusual 1:1"}},
}

func TestCheckFinds(t *testing.T) {
	for _, tt := range checks {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Parse("f.xml", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			got := findings(t, f, tt.opts)
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("found\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
		})
	}
}

// findings checks a file; no finding may be incomplete or give a password away.
func findings(t *testing.T, f *File, opts CheckOptions) []string {
	t.Helper()
	var got []string
	for _, x := range f.Check(opts) {
		got = append(got, fmt.Sprintf("%s %s %d:%d", x.Severity, x.ID, x.Line, x.Column))
		if x.Message == "" || x.Remedy == "" || x.File != f.Name() {
			t.Errorf("an incomplete finding: %+v", x)
		}
		if strings.Contains(x.String(), "hunter2") {
			t.Errorf("a finding shows a password: %s", x)
		}
	}
	return got
}

func TestTheAgentsOwnFilesAreInOrder(t *testing.T) {
	for name, want := range map[string]string{
		"ec2launch-v2.xml": "",
		"ec2launch-v1.xml": "info command-empty 20:11",
		"ec2config.xml":    "",
	} {
		f := shippedFile(t, name)
		if got := strings.Join(findings(t, f, CheckOptions{Architecture: "AMD64", AdministratorName: "Administrator", Shipped: f}), " "); got != want {
			t.Errorf("%s: found %q, want %q", name, got, want)
		}
		if !f.ScramblesPassword() || !f.opensRDP() {
			t.Errorf("%s: scrambles %v, opens RDP %v", name, f.ScramblesPassword(), f.opensRDP())
		}
	}
}

func TestWhatTheAgentsFileDoesIsMissed(t *testing.T) {
	bare := mustParse(t, in("specialize", shellSetup, "<TimeZone>UTC</TimeZone>"))
	for name, want := range map[string]string{
		"ec2launch-v2.xml": "warning rdp-lost 0:0 warning password-step-lost 0:0 warning account-step-lost 0:0",
		"ec2launch-v1.xml": "warning rdp-lost 0:0 warning password-step-lost 0:0",
		"ec2config.xml":    "warning rdp-lost 0:0 warning password-step-lost 0:0 warning account-step-lost 0:0",
	} {
		if got := strings.Join(findings(t, bare, CheckOptions{Shipped: shippedFile(t, name)}), " "); got != want {
			t.Errorf("compared with %s: found %q, want %q", name, got, want)
		}
	}
	if err := bare.Apply(Settings{AdministratorPassword: ptr("x")}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(findings(t, bare, CheckOptions{Shipped: shippedFile(t, "ec2launch-v2.xml")}), " "); got != "warning rdp-lost 0:0" {
		t.Errorf("with a password in the file: found %q", got)
	}
}
