package agentconfig

import (
	"fmt"
	"strings"
	"testing"
)

// in is a file with one task in a stage and the password in order.
func in(stage, task string) string {
	lines := strings.ReplaceAll(strings.TrimSuffix(task, "\n"), "\n", "\n    ")
	text := "version: 1.0\nconfig:\n- stage: " + stage + "\n  tasks:\n  - " + lines + "\n"
	if stage == stagePreReady {
		if strings.Contains(task, taskSetAdminAccount) {
			return text
		}
		return text + "  - task: setAdminAccount\n    inputs: {password: {type: random}}\n"
	}
	return text + "- stage: preReady\n  tasks:\n  - task: setAdminAccount\n    inputs: {password: {type: random}}\n"
}

// checks are files with what Check finds in them in the golden file.
var checks = []struct{ name, text string }{
	{"nothing to find", in("boot", "task: extendRootPartition")},
	{"the file is a list", "- stage: boot\n"},
	{"the file is a text", "hunter2\n"},
	{"the file is user data", "version: 1.1\ntasks:\n- task: startSsm\n"},
	{"no version", strings.Replace(in("boot", "task: extendRootPartition"), "version: 1.0\n", "", 1)},
	{"a version without its point", strings.Replace(in("boot", "task: extendRootPartition"), "1.0", "1", 1)},
	{"a version of the future", strings.Replace(in("boot", "task: extendRootPartition"), "1.0", "'2.0'", 1)},
	{"a version of a newer agent", strings.Replace(in("boot", "task: extendRootPartition"), "1.0", "1.2", 1)},
	{"a version that is a list", strings.Replace(in("boot", "task: extendRootPartition"), "1.0", "[1.0]", 1)},
	{"no config", "version: 1.0\n"},
	{"config is a map", "version: 1.0\nconfig:\n  stage: boot\n"},
	{"keys that nobody knows", in("boot", "task: extendRootPartition") + "comment: x\nConfig: []\n"},
	{"keys that stand twice", "version: 1.0\nversion: 1.0\nconfig:\n- stage: boot\n  stage: boot\n  tasks:\n  - task: x\n    inputs: {hunter2: 1, hunter2: 2}\n"},
	{"stages of other spellings and names", "version: 1.0\nconfig:\n- stage: Boot\n- stage: preready\n- stage: postRedy\n- stage: UserData\n- stage: later\n- stage: [boot]\n- tasks: []\n- boot\n- stage: BOOT\n"},
	{"a stage that stands twice", "version: 1.0\nconfig:\n- stage: boot\n  tasks:\n  - task: extendRootPartition\n- stage: Boot\n  tasks:\n  - task: extendRootPartition\n"},
	{"tasks that are none", "version: 1.0\nconfig:\n- stage: boot\n  tasks: extendRootPartition\n- stage: network\n- stage: postReady\n  tasks:\n  - startSsm\n  - name: startSsm\n  - task: [startSsm]\n  - task:\n"},
	{"tasks of other spellings and names", "version: 1.0\nconfig:\n- stage: postReady\n  tasks:\n  - task: StartSSM\n  - task: optimizeENNA\n  - task: joinDomain\n    inputs: {anything: goes}\n"},
	{"a task that stands twice in a stage", "version: 1.0\nconfig:\n- stage: postReady\n  tasks:\n  - task: startSsm\n  - task: startssm\n  - task: writeFile\n    inputs: [{frequency: once, destination: a, content: b}]\n  - task: writeFile\n    inputs: [{frequency: once, destination: a, content: b}]\n"},
	{"a task in a stage where it must not be", in("boot", "task: startSsm")},
	{"a task that belongs to user data", in("postReady", "task: sysprep\ninputs: {clean: true, shutdown: true}")},
	{"a task of old agents", in("postReady", "task: installEgpuManager")},
	{"inputs where there are none", in("boot", "task: extendRootPartition\ninputs: {disk: 0}")},
	{"no inputs where there must be some", in("preReady", "task: setDnsSuffix")},
	{"inputs that are a text", in("preReady", "task: setDnsSuffix\ninputs: example.com")},
	{"a list that is a text", in("preReady", "task: setDnsSuffix\ninputs: {suffixes: example.com}")},
	{"a list that is empty", in("preReady", "task: setDnsSuffix\ninputs: {suffixes: []}")},
	{"a list of maps instead of texts", in("preReady", "task: setDnsSuffix\ninputs: {suffixes: [{a: b}, x]}")},
	{"a program without most of its inputs", in("postReady", "task: executeProgram\ninputs:\n- path: ''\n  argument: x")},
	{"a program as another account", in("postReady", "task: executeProgram\ninputs: [{frequency: once, path: x.exe, runAs: admin}]")},
	{"a script that is a map instead of a list", in("postReady", "task: executeScript\ninputs: {frequency: once, type: powershell, runAs: admin, content: x}")},
	{"a script of wrong values", in("preReady", "task: executeScript\ninputs:\n- frequency: sometimes\n  type: PowerShell\n  runAs: Administrator\n  content: x\n  detach: maybe\n  arguments: -x")},
	{"a batch script with arguments", in("preReady", "task: executeScript\ninputs: [{frequency: always, type: batch, runAs: admin, content: dir, arguments: [a]}]")},
	{"volumes of wrong values", in("postReady", "task: initializeVolume\ninputs:\n  initialize: devices\n  devices:\n  - {device: xvdb, letter: 'D:', partition: GPT}\n  - {device: xvdc, letter: C, partition: raw}\n  - {device: xvdd, letter: E}\n  - {device: xvde, letter: e}\n  - {name: x}")},
	{"volumes that are not named", in("postReady", "task: initializeVolume\ninputs: {initialize: devices}")},
	{"volumes that are not looked at", in("postReady", "task: initializeVolume\ninputs: {initialize: all, devices: [{device: xvdb}]}")},
	{"host names", in("postReady", "task: setHostName\ninputs: {hostName: a_host_that_is_far_too_long, reboot: 1}")},
	{"a host name that is empty and a flag of YAML 1.1", in("postReady", "task: setHostName\ninputs: {hostName: '', reboot: yes}")},
	{"volumes with empty fields", in("postReady", "task: initializeVolume\ninputs:\n  initialize: devices\n  devices:\n  - {device: xvdb, name: '', letter: '', partition: ''}\n  - {device: xvdc, name: '', letter: '', partition: ''}")},
	{"a script that is run as nobody", in("postReady", "task: executeScript\ninputs: [{frequency: once, type: '', runAs: '', content: x}]")},
	{"a host name of digits", in("postReady", "task: setHostName\ninputs: {hostName: 12345}")},
	{"a host name with an underscore", in("postReady", "task: setHostName\ninputs: {hostName: my_host}")},
	{"a host name that is in order", in("postReady", "task: setHostName\ninputs: {hostName: web-1, reboot: true}")},
	{"a host name that is left out", in("postReady", "task: setHostName\ninputs: {reboot: false}")},
	{"wallpaper with all tags", in("preReady", "task: setWallpaper\ninputs: {path: a.jpg, instanceTags: AllTags}")},
	{"wallpaper with some tags", in("preReady", "task: setWallpaper\ninputs: {path: a.jpg, instanceTags: [Name, Team], attributes: [hostname, cpu]}")},
	{"wallpaper with attributes of newer agents and a slip", in("preReady", "task: setWallpaper\ninputs: {path: a.jpg, attributes: [ipv6Address, memry]}")},
	{"wallpaper with another word for tags", in("preReady", "task: setWallpaper\ninputs: {path: a.jpg, instanceTags: some}")},
	{"activation of another kind", in("preReady", "task: activateWindows\ninputs: {activation: {type: kms}}")},
	{"a path that double quotes have spoiled", in("preReady", `task: setWallpaper`+"\n"+`inputs: {path: "C:\new\table.jpg"}`)},
	{"a password in clear text", in("preReady", "task: setAdminAccount\ninputs: {password: {type: static, data: 'Hunter2-hunter2'}}")},
	{"a weak password", in("preReady", "task: setAdminAccount\ninputs: {password: {type: static, data: hunter2}}")},
	{"a password with the account's name", in("preReady", "task: setAdminAccount\ninputs: {name: hunter2, password: {type: static, data: Hunter2-hunter2}}")},
	{"a static password that is missing", in("preReady", "task: setAdminAccount\ninputs: {password: {type: static}}")},
	{"an encrypted password", in("preReady", "task: setAdminAccount\ninputs: {password: {type: encrypted, data: hunter2}}")},
	{"an encrypted password that is missing", in("preReady", "task: setAdminAccount\ninputs: {password: {type: encrypted}}")},
	{"a password that is not used", in("preReady", "task: setAdminAccount\ninputs: {password: {type: random, data: hunter2}}")},
	{"a password instead of the type", in("preReady", "task: setAdminAccount\ninputs: {password: {type: hunter2}}")},
	{"a password instead of a key", in("preReady", "task: setAdminAccount\ninputs: {password: {hunter2: }}")},
	{"a password instead of the map", in("preReady", "task: setAdminAccount\ninputs: {password: hunter2}")},
	{"a password without a type", in("preReady", "task: setAdminAccount\ninputs: {name: Chef, password: {data: hunter2}}")},
	{"the type spelled otherwise", in("preReady", "task: setAdminAccount\ninputs: {password: {type: DoNothing}, expire: true}")},
	{"an administrator without a password", in("preReady", "task: setAdminAccount\ninputs: {name: Chef}")},
	{"no setAdminAccount at all", "version: 1.0\nconfig:\n- stage: preReady\n  tasks:\n  - task: enableOpenSsh\n"},
	{"setAdminAccount in another stage", "version: 1.0\nconfig:\n- stage: postReady\n  tasks:\n  - task: setAdminAccount\n    inputs: {password: {type: random}}\n"},
	{"everything in JSON", "{\n  \"version\": \"1.0\",\n  \"config\": [\n    {\"stage\": \"Boot\", \"tasks\": [{\"task\": \"startSsm\"}, {\"task\": \"extendRootPartition\", \"task\": 1}]},\n    {\"stage\": \"preReady\", \"tasks\": null, \"x\": true}\n  ]\n}"},
}

func TestWhatIsFoundInAgentConfig(t *testing.T) {
	var b strings.Builder
	for _, tt := range checks {
		f := mustParseV2(t, tt.text)
		fmt.Fprintf(&b, "== %s\n%s", tt.name, found(t, f))
		if string(f.Bytes()) != tt.text {
			t.Errorf("%s: a file that nobody edited has changed", tt.name)
		}
	}
	if strings.Contains(strings.ToLower(b.String()), "hunter2") {
		t.Error("a finding shows a secret")
	}
	golden(t, "ec2launch-v2-check.golden", b.String())
}
