package generalize

import (
	"testing"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

func TestStartTypesAsTheServiceProgramSpellsThem(t *testing.T) {
	t.Parallel()
	key := func(start, delayed string) guest.Key {
		k := guest.Key{Exists: true, Values: []guest.Value{{Exists: true, Name: "start", Kind: guest.KindDWord, Text: start}}}
		if delayed != "" {
			k.Values = append(k.Values, guest.Value{Exists: true, Name: "DelayedAutoStart", Kind: guest.KindDWord, Text: delayed})
		}
		return k
	}
	for _, test := range []struct {
		name    string
		service guest.Key
		want    string
	}{
		{"automatic", key("2", ""), "auto"},
		{"automatic, delayed", key("2", "1"), "delayed-auto"},
		{"automatic, no longer delayed", key("2", "0"), "auto"},
		{"by hand, whatever the delay", key("3", "1"), "demand"},
		{"disabled", key("4", ""), "disabled"},
		{"a driver of the kernel's", key("0", ""), ""},
		{"no such service", guest.Key{}, ""},
	} {
		if got := startType(test.service); got != test.want {
			t.Errorf("%s: %q, wanted %q", test.name, got, test.want)
		}
	}
}
