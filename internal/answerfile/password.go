package answerfile

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// administratorSuffix is the word that Windows appends to the Administrator's
// password before it encodes it: the name of the element.
const administratorSuffix = "AdministratorPassword"

// encodePassword hides a password as Windows System Image Manager does, with
// PlainText=false: Base64 of UTF-16LE of the password and the suffix. Anybody
// can undo it.
func encodePassword(password, suffix string) string {
	var raw []byte
	for _, u := range utf16.Encode([]rune(password + suffix)) {
		raw = append(raw, byte(u), byte(u>>8))
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// decodePassword is the reverse; ok is false for anything that Windows would
// not take for an encoded password.
func decodePassword(encoded string) (password string, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw)%2 != 0 {
		return "", false
	}
	wide := make([]uint16, 0, len(raw)/2)
	for i := 0; i < len(raw); i += 2 {
		wide = append(wide, uint16(raw[i])|uint16(raw[i+1])<<8)
	}
	return strings.CutSuffix(string(utf16.Decode(wide)), administratorSuffix)
}

// checkPasswordText keeps the limits of Windows: 1 to 127 characters, no
// control characters.
func checkPasswordText(p string) error {
	switch {
	case p == "":
		return errors.New("the password is empty")
	case !utf8.ValidString(p):
		return errors.New("the password is not UTF-8")
	case units(p) > 127:
		return errors.New("the password has more than 127 characters")
	case strings.ContainsFunc(p, func(r rune) bool { return r < 0x20 }):
		return errors.New("the password holds a control character")
	}
	return nil
}
