package windows

import (
	"encoding/binary"
	"encoding/xml"
	"strings"
	"unicode/utf16"
)

// tasksFolder is where Windows keeps the definitions of scheduled tasks.
const tasksFolder = `C:\Windows\System32\Tasks`

// Task is a scheduled task of the description.
type Task struct {
	// File and Arguments are what it starts, User is as whom.
	File      string `json:"file"`
	Arguments string `json:"arguments"`
	User      string `json:"user"`
	// Disabled says that it does not start.
	Disabled bool `json:"disabled"`
}

// taskDefinition is the part of a task's definition that the model has.
type taskDefinition struct {
	XMLName   xml.Name `xml:"http://schemas.microsoft.com/windows/2004/02/mit/task Task"`
	User      string   `xml:"Principals>Principal>UserId"`
	Enabled   bool     `xml:"Settings>Enabled"`
	Command   string   `xml:"Actions>Exec>Command"`
	Arguments string   `xml:"Actions>Exec>Arguments"`
	Folder    string   `xml:"Actions>Exec>WorkingDirectory,omitempty"`
}

// addTask registers a task, in place of one of the same name. The lock is held.
func (g *Guest) addTask(t *task) {
	g.tasks[strings.ToLower(t.name)] = t
	text, err := xml.MarshalIndent(taskDefinition{
		User: t.user, Enabled: !t.disabled, Command: t.file, Arguments: t.arguments, Folder: t.folder,
	}, "", "  ")
	if err != nil {
		g.note("the definition of the task " + t.name + " cannot be written: " + err.Error())
		return
	}
	g.disk.place(tasksFolder+`\`+t.name, wide(`<?xml version="1.0" encoding="UTF-16"?>`+"\r\n"+string(text)))
}

// dropTask removes a task; false means that there was none. The lock is held.
func (g *Guest) dropTask(name string) bool {
	key := strings.ToLower(strings.TrimPrefix(name, `\`))
	t := g.tasks[key]
	if t == nil {
		return false
	}
	delete(g.tasks, key)
	_, _ = g.disk.remove(tasksFolder+`\`+t.name, false)
	return true
}

// importTask registers a task from its definition, as schtasks.exe /create /xml does.
func (g *Guest) importTask(name string, definition []byte) bool {
	text := narrow(definition)
	if _, rest, ok := strings.Cut(text, "?>"); ok {
		text = rest
	}
	var parsed taskDefinition
	if err := xml.Unmarshal([]byte(text), &parsed); err != nil {
		return false
	}
	g.addTask(&task{
		name: strings.TrimPrefix(name, `\`), file: parsed.Command, arguments: parsed.Arguments,
		folder: parsed.Folder, user: parsed.User, disabled: !parsed.Enabled,
	})
	return true
}

// wide encodes a text as UTF-16LE with a byte order mark.
func wide(text string) []byte { return append([]byte{0xff, 0xfe}, wideWords(text)...) }

// wideWords encodes a text as UTF-16LE.
func wideWords(text string) []byte {
	var data []byte
	for _, word := range utf16.Encode([]rune(text)) {
		data = binary.LittleEndian.AppendUint16(data, word)
	}
	return data
}

// narrow decodes UTF-16LE with a byte order mark; anything else is UTF-8.
func narrow(data []byte) string {
	if len(data) < 2 || data[0] != 0xff || data[1] != 0xfe {
		return strings.TrimPrefix(string(data), "\ufeff")
	}
	var words []uint16
	for i := 2; i+1 < len(data); i += 2 {
		words = append(words, binary.LittleEndian.Uint16(data[i:]))
	}
	return string(utf16.Decode(words))
}

// runSchtasks is schtasks.exe /create from a definition, /change, /delete and /query.
func runSchtasks(p *process) int {
	words := splitLine(p.arguments)
	verb, name, definition, enable, disable := "", "", "", false, false
	for i, word := range words {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch lower := strings.ToLower(word); lower {
		case "/create", "/change", "/delete", "/query":
			verb = lower
		case "/tn":
			name = strings.TrimPrefix(next, `\`)
		case "/xml":
			definition = next
		case "/enable":
			enable = true
		case "/disable":
			disable = true
		}
	}
	if verb == "" || verb == "/create" && definition == "" || verb == "/change" && enable == disable {
		return cannotRun(p)
	}
	done := false
	p.do(func(g *Guest) {
		t := g.tasks[strings.ToLower(name)]
		switch verb {
		case "/create":
			if n := g.disk.file(definition); n != nil {
				done = g.importTask(name, n.data)
			}
		case "/change":
			if t != nil {
				changed := *t
				changed.disabled = disable
				g.addTask(&changed)
				done = true
			}
		case "/delete":
			done = g.dropTask(name)
		case "/query":
			done = t != nil
		}
	})
	if !done {
		p.complain("ERROR: The system cannot find the file specified.")
		return 1
	}
	switch verb {
	case "/create":
		p.say(`SUCCESS: The scheduled task "` + name + `" has successfully been created.`)
	case "/change":
		p.say(`SUCCESS: The parameters of scheduled task "` + name + `" have been changed.`)
	case "/delete":
		p.say(`SUCCESS: The scheduled task "` + name + `" was successfully deleted.`)
	default:
		p.say("TaskName: \\" + name)
	}
	return 0
}
