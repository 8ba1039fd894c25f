package diagnosis

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheCommandExplains(t *testing.T) {
	log := filepath.Join("testdata", "logs", "appx-two-packages.log")
	tests := map[string]struct {
		args []string
		in   string
		want []string
	}{
		"a log file":         {[]string{log}, "", []string{"ES-303: ", "appx-two-packages.log:5: "}},
		"standard input":     {[]string{"-"}, samples["bitlocker"], []string{"ES-316: ", "standard input:1: "}},
		"two logs":           {[]string{filepath.Join("testdata", "logs", "all-is-well.log"), log}, "", []string{"ES-303: "}},
		"a code":             {[]string{"es-303"}, "", []string{"ES-303 appx-not-provisioned (fatal)", "meaning: ", "to do:   ", "source:  "}},
		"two codes":          {[]string{"ES-303", "ES-316"}, "", []string{"appx-not-provisioned", "bitlocker"}},
		"the list of codes":  {[]string{"--list"}, "", []string{"ES-301  fatal-at-deploy  copyprofile-path\n", "ES-302  "}},
		"an empty log, too":  {[]string{"-"}, "", []string{"ES-300: The logs of this run hold no error."}},
		"an entry by its ID": {[]string{"msdtc"}, "", []string{"ES-343 msdtc"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := Command(tt.args, strings.NewReader(tt.in), &out); err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is missing in\n%s", want, out.String())
				}
			}
		})
	}
}

func TestTheCommandRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"nothing":         {nil, "usage: "},
		"a strange flag":  {[]string{"--lsit"}, "usage: "},
		"a missing file":  {[]string{"ES-999"}, "explaining ES-999: open"},
		"a folder":        {[]string{"testdata"}, "explaining testdata: it is a folder"},
		"a code too many": {[]string{"ES-303", "ES-999"}, "explaining ES-999: no such code"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Command(tt.args, strings.NewReader(""), io.Discard)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if strings.HasPrefix(tt.want, "usage") && !errors.Is(err, ErrUsage) {
				t.Error("not ErrUsage")
			}
		})
	}
}
