package agentconfig

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// The limits of a password. The agents' guides only speak of the system's
// requirements, and the agents make up a random password for whoever misses
// them. What a Windows Server asks for by itself is complexity; a minimum length
// comes with a policy, and 8 is the least that Microsoft's security policy
// reference has ever recommended, so this package asks for 8. More than 127
// characters cannot be typed at Windows' logon.
const (
	minPassword = 8
	maxPassword = 127
)

// CheckStrength says whether Windows will take a password for a local account:
// 8 to 127 characters, three of the four kinds capital letter, small letter,
// digit and anything else, and not the account's name in it, whatever its case
// (names of one or two characters do not count). These are the rules of the
// policy "Password must meet complexity requirements" in Microsoft's
// security policy reference. The error never holds the password.
func CheckStrength(password, account string) error {
	length := len(utf16.Encode([]rune(password)))
	switch {
	case password == "":
		return errors.New("the password is empty")
	case !utf8.ValidString(password):
		return errors.New("the password is not UTF-8")
	case strings.ContainsFunc(password, unicode.IsControl):
		return errors.New("the password holds a control character")
	case length < minPassword:
		return fmt.Errorf("the password has fewer than %d characters", minPassword)
	case length > maxPassword:
		return fmt.Errorf("the password has more than %d characters", maxPassword)
	case utf8.RuneCountInString(account) > 2 && strings.Contains(strings.ToLower(password), strings.ToLower(account)):
		return errors.New("the password holds the account's name, which Windows refuses")
	}
	if n := kinds(password); n < 3 {
		return fmt.Errorf("the password has %d of the four kinds of characters (capital letters, small letters, digits, others), and Windows asks for three", n)
	}
	return nil
}

// kinds counts the kinds of characters as EC2Launch v1 does: letters and digits
// of ASCII are kinds of their own, and everything else is the fourth.
func kinds(password string) int {
	var found [4]bool
	for _, r := range password {
		switch {
		case r >= 'A' && r <= 'Z':
			found[0] = true
		case r >= 'a' && r <= 'z':
			found[1] = true
		case r >= '0' && r <= '9':
			found[2] = true
		default:
			found[3] = true
		}
	}
	n := 0
	for _, f := range found {
		if f {
			n++
		}
	}
	return n
}

// Validate says what is wrong with a password's mode and value, each error
// beginning with the name of the option. It is nil for a nil password.
func (p *Password) Validate() []error {
	if p == nil {
		return nil
	}
	switch p.Mode {
	case Random, Keep:
		if p.Value != "" {
			return []error{fmt.Errorf("administrator_password.value: only the mode %q has a password of its own", Specify)}
		}
	case Specify:
		if err := CheckStrength(p.Value, builtinAdministrator); err != nil {
			return []error{fmt.Errorf("administrator_password.value: %w", err)}
		}
	default:
		return []error{fmt.Errorf("administrator_password.mode: %q is not one of %s, %s, %s", p.Mode, Random, Specify, Keep)}
	}
	return nil
}

// builtinAdministrator is the name that the built-in administrator has on an
// English Windows, where the name is not known.
const builtinAdministrator = "Administrator"
