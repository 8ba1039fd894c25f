package answerfile

import (
	"strings"
	"testing"
)

// TestTheDifferenceNamesEverySettingAndNoSecret also is the golden file for
// what Apply makes of each agent's file.
func TestTheDifferenceNamesEverySettingAndNoSecret(t *testing.T) {
	var b strings.Builder
	for _, name := range []string{"ec2launch-v2.xml", "ec2launch-v1.xml", "ec2config.xml"} {
		before, after := shippedFile(t, name), shippedFile(t, name)
		s := everySetting()
		if err := after.Apply(s); err != nil {
			t.Fatal(err)
		}
		d := Diff(before, after).String()
		for _, secret := range []string{*s.ProductKey, *s.AdministratorPassword, encodePassword(*s.AdministratorPassword, administratorSuffix)} {
			if strings.Contains(d, secret) {
				t.Errorf("the difference shows a secret: %s", d)
			}
		}
		b.WriteString("== " + name + "\n" + d + "\n")
	}
	golden(t, "diff.golden", b.String())
}

func TestDiffSays(t *testing.T) {
	component := func(inner string) string {
		return `<unattend xmlns="` + Namespace + `"><settings pass="specialize"><component name="C" processorArchitecture="amd64">` + inner + `</component></settings></unattend>`
	}
	tests := map[string]struct{ from, to, want string }{
		"nothing of equal files":   {component("<A>1</A>"), component("<A>1</A>"), ""},
		"that only layout differs": {component("<A>1</A>"), component("\n <A>1</A><!-- x -->"), "no setting differs; white space, comments, order or encoding do"},
		"a changed value":          {component("<A>1</A>"), component("<A>2</A>"), `~ specialize/C/A: "1" -> "2"`},
		"a new value":              {component(""), component("<A/>"), `+ specialize/C/A: ""`},
		"a lost value":             {component("<A><B>x</B></A>"), component(""), `- specialize/C/A/B: "x"`},
		"a changed secret":         {component("<P><Password>a</Password></P>"), component("<P><Password>b</Password></P>"), `~ specialize/C/P/Password: (hidden) -> (hidden)`},
		"a lost twin":              {component("<A>1</A><A>1</A>"), component("<A>1</A>"), `- specialize/C/A#2: "1"`},
		"another architecture":     {component("<A>1</A>"), strings.Replace(component("<A>1</A>"), "</settings>", `<component name="C" processorArchitecture="x86"><A>9</A></component></settings>`, 1), `+ specialize/C[x86]/A: "9"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Diff(mustParse(t, tt.from), mustParse(t, tt.to)).String(); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAFileHoldsASecretWhenAPasswordOrAKeyIsInIt(t *testing.T) {
	tests := map[string]struct {
		inner string
		want  bool
	}{
		"nothing":              {"<TimeZone>UTC</TimeZone>", false},
		"an empty password":    {"<UserAccounts><AdministratorPassword><Value/></AdministratorPassword></UserAccounts>", false},
		"a password":           {"<UserAccounts><AdministratorPassword><Value>x</Value></AdministratorPassword></UserAccounts>", true},
		"an account's":         {"<LocalAccount><Password><Value>x</Value></Password></LocalAccount>", true},
		"a domain's":           {"<Credentials><Password>x</Password></Credentials>", true},
		"a product key":        {"<ProductKey>x</ProductKey>", true},
		"a key of Setup":       {"<ProductKey><Key>x</Key><WillShowUI>OnError</WillShowUI></ProductKey>", true},
		"words about password": {"<Path>net user x /PASSWORDREQ:YES</Path>", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := mustParse(t, in("oobeSystem", shellSetup, tt.inner)).HoldsSecret(); got != tt.want {
				t.Errorf("HoldsSecret = %v", got)
			}
		})
	}
}
