package windows

import "strings"

// clean returns a path of Windows in one form: backslashes, no dot segments,
// no backslash at the end unless it is a drive's root. Letters keep their case.
func clean(path string) string {
	path = strings.ReplaceAll(strings.TrimSpace(path), "/", `\`)
	var parts []string
	for _, part := range strings.Split(path, `\`) {
		switch part {
		case "", ".":
		case "..":
			if len(parts) > 1 {
				parts = parts[:len(parts)-1]
			}
		default:
			parts = append(parts, part)
		}
	}
	cleaned := strings.Join(parts, `\`)
	if len(cleaned) == 2 && cleaned[1] == ':' {
		cleaned += `\`
	}
	return cleaned
}

// fold is the key under which a path or name is kept: Windows knows no case.
func fold(path string) string { return strings.ToLower(clean(path)) }

// parent returns the folder that a clean path lies in, empty for a root.
func parent(path string) string {
	at := strings.LastIndexByte(path, '\\')
	if at < 0 || at == len(path)-1 {
		return ""
	}
	if at == 2 && path[1] == ':' {
		return path[:3]
	}
	return path[:at]
}

// base returns the last element of a path.
func base(path string) string {
	path = strings.TrimRight(strings.ReplaceAll(path, "/", `\`), `\`)
	return path[strings.LastIndexByte(path, '\\')+1:]
}

// programName returns the name of a process: the file's name without ".exe".
func programName(file string) string {
	name := base(strings.Trim(file, `"`))
	if len(name) > 4 && strings.EqualFold(name[len(name)-4:], ".exe") {
		name = name[:len(name)-4]
	}
	return name
}

// absolute says whether a path begins with a drive.
func absolute(path string) bool {
	return len(path) > 2 && path[1] == ':' && (path[2] == '\\' || path[2] == '/')
}

// wildcard matches a name against a pattern of * and ?, without regard to case.
func wildcard(pattern, name string) bool {
	return glob(strings.ToLower(pattern), strings.ToLower(name))
}

func glob(pattern, name string) bool {
	for pattern != "" {
		switch pattern[0] {
		case '*':
			for i := 0; i <= len(name); i++ {
				if glob(pattern[1:], name[i:]) {
					return true
				}
			}
			return false
		case '?':
			if name == "" {
				return false
			}
		default:
			if name == "" || name[0] != pattern[0] {
				return false
			}
		}
		pattern, name = pattern[1:], name[1:]
	}
	return name == ""
}

// splitLine splits a command line as Windows programs do: spaces separate,
// quotes hold together, a backslash before a quote makes it plain.
func splitLine(line string) []string {
	var words []string
	var word strings.Builder
	quoted, inWord := false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line) && line[i+1] == '"':
			word.WriteByte('"')
			i++
			inWord = true
		case c == '"':
			quoted = !quoted
			inWord = true
		case (c == ' ' || c == '\t') && !quoted:
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}
