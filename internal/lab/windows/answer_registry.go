package windows

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// The hives that guest.ps1 knows.
var protocolHives = map[string]bool{"hklm": true, "hku": true, "hkcr": true, "hkcu": true}

func (g *Guest) checkKey(path string) error {
	head, _, _ := strings.Cut(path, `\`)
	if !protocolHives[strings.ToLower(head)] {
		return invalid("unknown hive in " + path)
	}
	if g.hive.isDenied(path) {
		return &guest.CallError{Kind: guest.KindDenied, Message: "Requested registry access is not allowed."}
	}
	return nil
}

func (g *Guest) registryRead(args guest.RegistryArgs) (any, error) {
	if err := g.checkKey(args.Path); err != nil {
		return nil, err
	}
	if !args.Key {
		value := g.hive.read(args.Path, args.Name)
		if value.Exists {
			value.Name = args.Name
		}
		return value, nil
	}
	key := g.hive.key(args.Path)
	if key == nil {
		return guest.Key{}, nil
	}
	return guest.Key{Exists: true, Keys: g.hive.subkeys(args.Path), Values: key.list()}, nil
}

func (g *Guest) registryWrite(args guest.RegistryArgs) (any, error) {
	if args.Set == nil {
		return nil, invalid("nothing to set")
	}
	if err := g.checkKey(args.Path); err != nil {
		return nil, err
	}
	now := g.hive.read(args.Path, args.Name)
	if identical(now, *args.Set) {
		return guest.Changed{}, nil
	}
	if args.Expect != nil && !identical(now, *args.Expect) {
		return nil, conflict("another value was found in " + args.Path + ", " + args.Name)
	}
	g.hive.make(args.Path)
	value, err := checkedValue(*args.Set)
	if err != nil {
		return nil, err
	}
	g.hive.write(args.Path, args.Name, value)
	return guest.Changed{Changed: true}, nil
}

// identical compares two values as guest.ps1 does, kinds with their case.
func identical(a, b guest.Value) bool {
	return same(a, b) && (!a.Exists || a.Kind == b.Kind)
}

// checkedValue returns a value as the registry keeps it.
func checkedValue(value guest.Value) (guest.Value, error) {
	kept := guest.Value{Exists: true, Kind: value.Kind, Text: value.Text}
	switch value.Kind {
	case guest.KindDWord, guest.KindQWord:
		bits := 32
		if value.Kind == guest.KindQWord {
			bits = 64
		}
		number, err := strconv.ParseUint(strings.TrimSpace(value.Text), 10, bits)
		if err != nil {
			return guest.Value{}, failed("Input string was not in a correct format.")
		}
		kept.Text = strconv.FormatUint(number, 10)
	case guest.KindMultiString:
		kept.Text, kept.Texts = "", value.Texts
	case guest.KindBinary:
		if _, err := base64.StdEncoding.DecodeString(value.Text); err != nil {
			return guest.Value{}, failed("The input is not a valid Base-64 string.")
		}
	case guest.KindString, guest.KindExpandString:
	default:
		return guest.Value{}, invalid("unknown kind of value " + value.Kind)
	}
	return kept, nil
}

func (g *Guest) registryDelete(args guest.RegistryArgs) (any, error) {
	if args.Key {
		at := strings.LastIndexByte(args.Path, '\\')
		if at < 1 {
			return nil, invalid("a hive cannot be deleted")
		}
		if err := g.checkKey(args.Path); err != nil {
			return nil, err
		}
		return guest.Changed{Changed: g.hive.deleteKey(args.Path)}, nil
	}
	if err := g.checkKey(args.Path); err != nil {
		return nil, err
	}
	return guest.Changed{Changed: g.hive.deleteValue(args.Path, args.Name)}, nil
}
