package agentconfig

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fuzzed holds what holds for every file: an error has a place, bytes come out
// as they went in, findings are whole.
func fuzzed(t *testing.T, f settingFile, err error, data []byte) (ok bool) {
	t.Helper()
	if err != nil {
		var se *SyntaxError
		if !errors.As(err, &se) || se.Line < 1 || se.Column < 1 || se.Cause == "" {
			t.Errorf("an error without a place: %v", err)
		}
		return false
	}
	if !bytes.Equal(f.Bytes(), data) {
		t.Fatal("the file does not come out as it went in")
	}
	found(t, f)
	return true
}

// hasErrors says whether anything is wrong with a file that keeps an edit from
// being the whole truth.
func hasErrors(f settingFile) bool {
	for _, x := range f.Check() {
		if x.Severity.String() == "error" {
			return true
		}
	}
	return false
}

func FuzzParseBundleConfig(f *testing.F) {
	for _, text := range []string{bundle, crlf(bundle), "\ufeff" + bundle, utf16Marked(bundle), property("AutoSysprep", "<![CDATA[No]]><!-- x -->"), property("AutoSysprep", ""), property("AUTOSYSPREP", "No"), "<BundleConfig><Property/></BundleConfig>", `<x:BundleConfig xmlns:x="u"/>`, "&#70;"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseBundleConfig("f.xml", data)
		if !fuzzed(t, file, err, data) {
			return
		}
		good := !hasErrors(file)
		if err := file.Apply(BundleConfigSettings{ptrTo(true), ptrTo(false), ptrTo(true)}); err != nil {
			if !bytes.Equal(file.Bytes(), data) {
				t.Error("the file has changed in spite of the error")
			}
			return
		}
		again, err := ParseBundleConfig("f.xml", file.Bytes())
		if err != nil {
			t.Fatalf("the edited file is broken: %v\n%q", err, file.Bytes())
		}
		for name, want := range map[string]string{autoSysprep: "Yes", setRDPCertificate: "No", setPasswordAfterSysprep: "Yes"} {
			if got, ok := again.Property(name); !ok || got != want {
				t.Errorf("%s = %q, %v\n%q", name, got, ok, file.Bytes())
			}
		}
		if good && hasErrors(again) {
			t.Errorf("a good file has become a bad one:\n%s", found(t, again))
		}
	})
}

func FuzzParseEC2Config(f *testing.F) {
	for _, text := range []string{config, crlf(config), "\ufeff" + config, utf16Marked(config), parts(plugin("Ec2SetPassword", "False"), "<ManageShutdown/>"), parts("<Plugin/>", "x"), parts("", "<!-- y -->"), "<Ec2ConfigurationSettings/>"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseEC2Config("f.xml", data)
		if !fuzzed(t, file, err, data) {
			return
		}
		good := !hasErrors(file)
		if err := file.Apply(everyEC2ConfigSetting(true)); err != nil {
			if !bytes.Equal(file.Bytes(), data) {
				t.Error("the file has changed in spite of the error")
			}
			return
		}
		again, err := ParseEC2Config("f.xml", file.Bytes())
		if err != nil {
			t.Fatalf("the edited file is broken: %v\n%q", err, file.Bytes())
		}
		for _, name := range ec2configPlugins() {
			if enabled, ok := again.Plugin(name); !ok || !enabled {
				t.Errorf("%s is %v, %v\n%q", name, enabled, ok, file.Bytes())
			}
		}
		for _, name := range ec2configGlobals() {
			if v, ok := again.Global(name); !ok || v != "true" {
				t.Errorf("%s is %q, %v\n%q", name, v, ok, file.Bytes())
			}
		}
		if good && hasErrors(again) {
			t.Errorf("a good file has become a bad one:\n%s", found(t, again))
		}
	})
}

// FuzzParseDriveLetterConfig holds besides that letters which are good come
// back from a file that is written anew.
func FuzzParseDriveLetterConfig(f *testing.F) {
	f.Add([]byte(mappings("Data", "E:", "Temporary Storage 0", "z:")))
	f.Add([]byte(utf16Marked(mappings("Größe & <x>", "", "", "C:"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseDriveLetterConfig("f.xml", data)
		if !fuzzed(t, file, err, data) {
			return
		}
		letters := file.Letters()
		if len(ValidateDriveLetters(letters)) > 0 {
			return
		}
		again, err := ParseDriveLetterConfig("f.xml", FormatDriveLetterConfig(letters))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(letters, again.Letters()); diff != "" || len(again.Check()) > 0 {
			t.Errorf("the letters differ (-want +got):\n%s%s", diff, found(t, again))
		}
	})
}

// FuzzParseEventLogConfig holds besides that events which are good come back
// from a file that is written anew.
func FuzzParseEventLogConfig(f *testing.F) {
	f.Add([]byte(events(event("System", "Error", "3", beforeAllEvents, ""), event("Application", "information", "1", "", "Märchen &amp; Söhne"))))
	f.Add([]byte(utf16Marked(events(event("", "Critical", "0", "yesterday", "x")))))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseEventLogConfig("f.xml", data)
		if !fuzzed(t, file, err, data) {
			return
		}
		list := file.Events()
		if len(ValidateEvents(list)) > 0 {
			return
		}
		again, err := ParseEventLogConfig("f.xml", FormatEventLogConfig(list))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(list, again.Events()); diff != "" || len(again.Check()) > 0 {
			t.Errorf("the events differ (-want +got):\n%s%s", diff, found(t, again))
		}
	})
}
