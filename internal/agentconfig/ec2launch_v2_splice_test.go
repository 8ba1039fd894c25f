package agentconfig

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ours is a file as people write it: with empty lines, comments everywhere,
// odd spacing, and a script whose white space matters to the YAML library.
const ours = `# Kept in Git.
version: "1.0"   # a text

config:
# before boot
-   stage:   boot
    tasks:
    - task: extendRootPartition   # all of the disk
    # nothing else

# about preReady
-   stage: PreReady
    tasks:

    # about names
    - task: setDnsSuffix
      inputs:
        suffixes:
        - $REGION.ec2-utilities.amazonaws.com   # the region's
        # none of ours
        #- example.com

    # about the administrator
    - task: setAdminAccount
      inputs:
        password:
          type:  random   # for now
        # no name

    # about scripts
    - task: executeScript
      inputs:
      - frequency: always
        type: powershell
        runAs: 'localSystem'
        content: |-
          # a comment of PowerShell
          exit 3010` + " " + `
          ` + "\t" + `Copy-Item C:\new "C:\täble"

          & 'x'
-   stage: postReady
    tasks:
    - {task: startSsm}
    - task: setHostName
      inputs: { reboot:  false }

# the end
`

func TestAnEditOfAgentConfigLeavesAllOtherLines(t *testing.T) {
	const (
		names         = "    # about names\n    - task: setDnsSuffix\n      inputs:\n        suffixes:\n        - $REGION.ec2-utilities.amazonaws.com   # the region's\n        # none of ours\n        #- example.com\n"
		administrator = "    - task: setAdminAccount\n      inputs:\n        password:\n          type:  random   # for now\n        # no name\n"
	)
	tests := map[string]struct {
		do       EC2LaunchV2Settings
		old, now string
	}{
		"the password's type": {
			EC2LaunchV2Settings{Password: &Password{Mode: Keep}},
			administrator, "    - task: setAdminAccount\n      inputs:\n        password:\n          type: doNothing # for now\n        # no name\n",
		},
		"a task less, with its comment": {
			EC2LaunchV2Settings{Remove: []TaskRef{{"", "setDnsSuffix"}}},
			names + "\n", "",
		},
		"the last task of a stage less": {
			EC2LaunchV2Settings{Remove: []TaskRef{{"", "setHostName"}}},
			"    - task: setHostName\n      inputs: { reboot:  false }\n", "",
		},
		"a task more": {
			EC2LaunchV2Settings{Tasks: []TaskSetting{{"postReady", "optimizeEna", ""}}},
			"{ reboot:  false }\n", "{ reboot:  false }\n    - task: optimizeEna\n",
		},
		"other inputs": {
			EC2LaunchV2Settings{Tasks: []TaskSetting{{"postReady", "setHostName", "reboot: true"}}},
			"      inputs: { reboot:  false }\n", "      inputs:\n        reboot: true\n",
		},
		"a stage less, with its comment": {
			EC2LaunchV2Settings{Remove: []TaskRef{{"boot", "extendRootPartition"}}},
			ours[strings.Index(ours, "# before boot"):strings.Index(ours, "# about preReady")], "",
		},
		"a stage more": {
			EC2LaunchV2Settings{Tasks: []TaskSetting{{"network", "newTask", ""}}},
			"    # nothing else\n", "    # nothing else\n- stage: network\n  tasks:\n  - task: newTask\n",
		},
	}
	forms := map[string]func(string) string{
		"as it is":                  func(s string) string { return s },
		"with line ends of Windows": func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"with a byte order mark":    func(s string) string { return "\ufeff" + s },
		"without the last line end": func(s string) string { return strings.TrimSuffix(s, "\n") },
	}
	for name, tt := range tests {
		if strings.Count(ours, tt.old) != 1 {
			t.Fatalf("%s: %q does not stand in the file once", name, tt.old)
		}
		for form, shaped := range forms {
			t.Run(name+" "+form, func(t *testing.T) {
				f := mustParseV2(t, shaped(ours))
				appliesCleanly(t, f, tt.do)
				if diff := cmp.Diff(shaped(strings.Replace(ours, tt.old, tt.now, 1)), string(f.Bytes())); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestAFileWithoutLinesOfItsOwnIsWrittenAnew(t *testing.T) {
	const script = "{task: writeFile, inputs: [{frequency: once, destination: a, content: b}]}"
	for name, text := range map[string]string{
		"config in brackets":               "config: [{stage: postReady, tasks: [" + script + "]}]\nversion: 1.0\n",
		"tasks in brackets":                "config:\n- stage: postReady\n  tasks: [" + script + "]\nversion: 1.0\n",
		"a dash on a line of its own":      "config:\n-\n  stage: postReady\n  tasks:\n  -\n    " + script + "\nversion: 1.0\n",
		"tasks before the stage's name":    "config:\n- tasks:\n  - " + script + "\n  # the last one\n  stage: postReady\nversion: 1.0\n",
		"a last line that has no line end": "version: 1.0\nconfig:\n- stage: postReady\n  tasks:\n  - " + script,
		"an end of the document":           "version: 1.0\nconfig:\n- stage: postReady\n  tasks:\n  - " + script + "\n...\n",
		"empty lines that belong to a text": "version: 1.0\nconfig:\n- stage: postReady\n  tasks:\n  - task: writeFile\n    inputs:\n    - frequency: once\n      destination: a\n" +
			"      content: |+\n        b\n\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := mustParseV2(t, text)
			before := f.Tasks()[0].Inputs
			appliesCleanly(t, f, EC2LaunchV2Settings{Tasks: []TaskSetting{{"postReady", "optimizeEna", ""}}, Password: &Password{Mode: Keep}})
			var names []string
			for _, task := range f.Tasks() {
				names = append(names, task.Stage+" "+task.Name)
				if task.Name == "writeFile" {
					if diff := cmp.Diff(before, task.Inputs); diff != "" {
						t.Error(diff)
					}
				}
			}
			if got := strings.Join(names, ", "); got != "preReady setAdminAccount, postReady writeFile, postReady optimizeEna" {
				t.Errorf("got the tasks %s", got)
			}
			if strings.Contains(text, "# the last one") && !strings.Contains(string(f.Bytes()), "# the last one") {
				t.Error("a comment is lost")
			}
		})
	}
}
