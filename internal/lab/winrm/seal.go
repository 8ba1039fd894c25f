package winrm

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // NTLM is made of it
	"crypto/rc4" //nolint:gosec // see above
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Message encryption over plain HTTP: a message is sealed with the session
// key of the connection's NTLM handshake and travels in a multipart body of a
// shape that only WinRM has ([MS-WSMV] 2.2.9.1). The answer to a sealed
// message is sealed.

const (
	sealedType = `multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"`
	boundary   = "--Encrypted Boundary"
)

var errSeal = errors.New("not a sealed message of this session")

// sealing is one direction of a sealed connection.
type sealing struct {
	key      []byte // for signatures
	cipher   *rc4.Cipher
	exchange bool
	sequence uint32
}

// newSealing derives the keys of a direction: "client-to-server" or
// "server-to-client" ([MS-NLMP] 3.4.5).
func newSealing(l *ntlmLogon, direction string) *sealing {
	derive := func(key []byte, purpose string) []byte {
		sum := md5.Sum(append(append([]byte(nil), key...), "session key to "+direction+" "+purpose+" key magic constant\x00"...))
		return sum[:]
	}
	weak := l.sessionKey
	switch {
	case l.flags&ntlm128 != 0:
	case l.flags&ntlm56 != 0:
		weak = weak[:7]
	default:
		weak = weak[:5]
	}
	// RC4 takes any key of up to 256 bytes, and this one has 16.
	cipher, err := rc4.NewCipher(derive(weak, "sealing"))
	if err != nil {
		return nil
	}
	return &sealing{key: derive(l.sessionKey, "signing"), cipher: cipher, exchange: l.flags&ntlmKeyExchange != 0}
}

// signature signs a message and counts on.
func (s *sealing) signature(message []byte) []byte {
	sequence := binary.LittleEndian.AppendUint32(nil, s.sequence)
	s.sequence++
	checksum := hmacMD5(s.key, sequence, message)[:8]
	if s.exchange {
		s.cipher.XORKeyStream(checksum, checksum)
	}
	return append(append([]byte{1, 0, 0, 0}, checksum...), sequence...)
}

// seal wraps a message up as the body of an answer.
func (s *sealing) seal(message []byte) []byte {
	sealed := make([]byte, len(message))
	s.cipher.XORKeyStream(sealed, message)
	signature := s.signature(message)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\tOriginalContent: type=%s;Length=%d\r\n%s\r\n\tContent-Type: application/octet-stream\r\n",
		boundary, contentType, len(message), boundary)
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(signature))))
	b.Write(signature)
	b.Write(sealed)
	b.WriteString(boundary + "--\r\n")
	return b.Bytes()
}

var originalLength = regexp.MustCompile(`(?i)OriginalContent:[^\r\n]*;Length=([0-9]+)`)

// open takes a message out of the body of a request.
func (s *sealing) open(body []byte) ([]byte, error) {
	first, rest, found := bytes.Cut(body, []byte("application/octet-stream\r\n"))
	length := originalLength.FindSubmatch(first)
	if !found || length == nil || len(rest) < 4+16 {
		return nil, errSeal
	}
	want, err := strconv.Atoi(string(length[1]))
	if err != nil || binary.LittleEndian.Uint32(rest) != 16 || len(rest) < 4+16+want {
		return nil, errSeal
	}
	if tail := strings.ReplaceAll(string(rest[4+16+want:]), "-- ", "--"); tail != boundary+"--\r\n" && tail != boundary+"--" {
		return nil, errSeal
	}
	message := make([]byte, want)
	s.cipher.XORKeyStream(message, rest[4+16:4+16+want])
	if !hmac.Equal(s.signature(message), rest[4:4+16]) {
		return nil, errSeal
	}
	return message, nil
}
