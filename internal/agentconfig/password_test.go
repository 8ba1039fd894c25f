package agentconfig

import (
	"strings"
	"testing"
)

func TestAPasswordIsAsStrongAsWindowsAsks(t *testing.T) {
	tests := map[string]struct {
		password, account string
		want              string // "" for a password that Windows takes
	}{
		"three kinds are enough":                     {"Planted-secret", "Administrator", ""},
		"four kinds are fine":                        {"Planted-s3cret", "Administrator", ""},
		"letters outside ASCII are the fourth kind":  {"plantedüs3cret", "Administrator", ""},
		"8 characters are enough":                    {"Aa345678", "", ""},
		"127 characters are still fine":              {"Aa3" + strings.Repeat("x", 124), "", ""},
		"a short name of an account does not count":  {"Planted-secret", "ed", ""},
		"no password at all":                         {"", "", "the password is empty"},
		"7 characters":                               {"Aa34567", "", "fewer than 8 characters"},
		"128 characters":                             {"Aa3" + strings.Repeat("x", 125), "", "more than 127 characters"},
		"a character of two units counts twice":      {"Aa3" + strings.Repeat("x", 123) + "😀", "", "more than 127 characters"},
		"two kinds":                                  {"plantedsecret1", "", "has 2 of the four kinds"},
		"one kind":                                   {"plantedsecret", "", "has 1 of the four kinds"},
		"the account's name":                         {"Planted-Administrator-1", "Administrator", "holds the account's name"},
		"the account's name in another case":         {"Planted-CHEF-1x", "chef", "holds the account's name"},
		"a line end":                                 {"Planted\nsecret1", "", "a control character"},
		"bytes that are no text":                     {"Planted\xffsecret1", "", "not UTF-8"},
		"a delete character is a control character ": {"Planted\x7fsecret1", "", "a control character"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := CheckStrength(tt.password, tt.account)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(strings.ToLower(err.Error()), "planted") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestAPasswordsModeAndValueBelongTogether(t *testing.T) {
	tests := map[string]struct {
		password *Password
		want     string
	}{
		"none":                        {nil, ""},
		"random":                      {&Password{Mode: Random}, ""},
		"keep":                        {&Password{Mode: Keep}, ""},
		"specify with a strong one":   {&Password{Mode: Specify, Value: "Planted-secret"}, ""},
		"random with a password":      {&Password{Mode: Random, Value: "Planted-secret"}, `administrator_password.value: only the mode "specify"`},
		"keep with a password":        {&Password{Mode: Keep, Value: "Planted-secret"}, `administrator_password.value: only the mode "specify"`},
		"specify without a password":  {&Password{Mode: Specify}, "administrator_password.value: the password is empty"},
		"specify with a weak one":     {&Password{Mode: Specify, Value: "planted-secret"}, "administrator_password.value: the password has 2"},
		"a mode that nobody knows":    {&Password{Mode: "none"}, `administrator_password.mode: "none" is not one of random, specify, keep`},
		"no mode":                     {&Password{Value: "Planted-secret"}, `administrator_password.mode: "" is not one of`},
		"the administrator's name in": {&Password{Mode: Specify, Value: "Planted-administrator1"}, "holds the account's name"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			errs := tt.password.Validate()
			if tt.want == "" {
				if len(errs) > 0 {
					t.Errorf("got %v", errs)
				}
				return
			}
			if len(errs) != 1 || !strings.Contains(errs[0].Error(), tt.want) || strings.Contains(strings.ToLower(errs[0].Error()), "planted") {
				t.Errorf("got %v, want %q", errs, tt.want)
			}
		})
	}
}
