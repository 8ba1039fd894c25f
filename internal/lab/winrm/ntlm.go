package winrm

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // NTLM is made of MD4, MD5 and RC4
	"crypto/rand"
	"crypto/rc4" //nolint:gosec // see above
	"encoding/binary"
	"errors"
	"strings"
	"time"
	"unicode/utf16"

	"golang.org/x/crypto/md4" //nolint:gosec,staticcheck // see above
)

// The server's half of NTLMv2 as [MS-NLMP] describes it: a challenge, and the
// check of the proof. Older NTLM and anonymous logons are refused.

var ntlmSignature = []byte("NTLMSSP\x00")

const (
	ntlmUnicode         = 1 << 0
	ntlmRequestTarget   = 1 << 2
	ntlmSign            = 1 << 4
	ntlmSeal            = 1 << 5
	ntlmNTLM            = 1 << 9
	ntlmAlwaysSign      = 1 << 15
	ntlmTargetServer    = 1 << 17
	ntlmExtendedSession = 1 << 19
	ntlmTargetInfo      = 1 << 23
	ntlmVersion         = 1 << 25
	ntlm128             = 1 << 29
	ntlmKeyExchange     = 1 << 30
	ntlm56              = 1 << 31
)

var errNTLM = errors.New("not a valid NTLM message")

// ntlmSession is one handshake on one connection.
type ntlmSession struct {
	machine   string
	negotiate []byte
	challenge []byte // the message
	nonce     [8]byte
}

// begin answers a NEGOTIATE message with a CHALLENGE message.
func (n *ntlmSession) begin(message []byte, now time.Time) ([]byte, error) {
	if len(message) < 16 || !bytes.HasPrefix(message, ntlmSignature) || binary.LittleEndian.Uint32(message[8:]) != 1 {
		return nil, errNTLM
	}
	asked := binary.LittleEndian.Uint32(message[12:])
	// crypto/rand never fails.
	_, _ = rand.Read(n.nonce[:])
	flags := uint32(ntlmUnicode | ntlmRequestTarget | ntlmNTLM | ntlmAlwaysSign | ntlmTargetServer | ntlmExtendedSession | ntlmTargetInfo | ntlmVersion)
	flags |= asked & (ntlmSign | ntlmSeal | ntlm128 | ntlm56 | ntlmKeyExchange)

	target := utf16le(n.machine)
	var info bytes.Buffer
	pair := func(id uint16, value []byte) {
		info.Write(binary.LittleEndian.AppendUint16(nil, id))
		info.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(value))))
		info.Write(value)
	}
	pair(2, target) // NetBIOS domain: the machine's own on a workgroup machine
	pair(1, target)
	pair(4, target)
	pair(3, target)
	// FILETIME: 100 ns since 1601.
	pair(7, binary.LittleEndian.AppendUint64(nil, uint64(now.UnixNano()/100+116444736000000000)))
	pair(0, nil)

	const header = 56
	m := append([]byte(nil), ntlmSignature...)
	m = binary.LittleEndian.AppendUint32(m, 2)
	m = appendField(m, len(target), header)
	m = binary.LittleEndian.AppendUint32(m, flags)
	m = append(m, n.nonce[:]...)
	m = append(m, make([]byte, 8)...)
	m = appendField(m, info.Len(), header+len(target))
	m = append(m, 10, 0, 0x7c, 0x4f, 0, 0, 0, 15) // version 10.0.20348, NTLM revision 15
	m = append(m, target...)
	m = append(m, info.Bytes()...)
	n.negotiate, n.challenge = append([]byte(nil), message...), m
	return m, nil
}

// ntlmLogon is what an AUTHENTICATE message has proven.
type ntlmLogon struct {
	user       string
	flags      uint32
	sessionKey []byte

	// in and out are the two directions of message encryption, nil when
	// the client did not ask for it.
	in, out *sealing
}

// finish checks an AUTHENTICATE message against the account's password.
func (n *ntlmSession) finish(message []byte, password func(user string) (string, bool)) (*ntlmLogon, error) {
	if n.challenge == nil || len(message) < 64 || !bytes.HasPrefix(message, ntlmSignature) || binary.LittleEndian.Uint32(message[8:]) != 3 {
		return nil, errNTLM
	}
	var fields [6][]byte // LM, NT, domain, user, workstation, session key
	for i := range fields {
		at := 12 + 8*i
		length, offset := uint64(binary.LittleEndian.Uint16(message[at:])), uint64(binary.LittleEndian.Uint32(message[at+4:]))
		if offset+length > uint64(len(message)) {
			return nil, errNTLM
		}
		fields[i] = message[offset : offset+length]
	}
	response, domain, user := fields[1], fields[2], fromUTF16(fields[3])
	flags := binary.LittleEndian.Uint32(message[60:])
	if len(response) < 16+28 || user == "" {
		return nil, errNTLM // NTLMv1 or anonymous
	}
	secret, ok := password(user)
	if !ok {
		return nil, errNTLM
	}
	hash := md4.New()
	hash.Write(utf16le(secret))
	key := hmacMD5(hash.Sum(nil), utf16le(strings.ToUpper(user)), domain)
	proof := hmacMD5(key, n.nonce[:], response[16:])
	if !hmac.Equal(proof, response[:16]) {
		return nil, errNTLM
	}
	logon := &ntlmLogon{user: user, flags: flags, sessionKey: hmacMD5(key, proof)}
	if flags&ntlmKeyExchange != 0 && len(fields[5]) == 16 {
		cipher, err := rc4.NewCipher(logon.sessionKey)
		if err != nil {
			return nil, errNTLM
		}
		exported := make([]byte, 16)
		cipher.XORKeyStream(exported, fields[5])
		logon.sessionKey = exported
	}
	if len(logon.sessionKey) == 16 && flags&ntlmSeal != 0 {
		logon.in, logon.out = newSealing(logon, "client-to-server"), newSealing(logon, "server-to-client")
	}
	if carriesMIC(response[16+28:]) && len(message) >= 88 {
		bare := append([]byte(nil), message...)
		clear(bare[72:88])
		if !hmac.Equal(hmacMD5(logon.sessionKey, n.negotiate, n.challenge, bare), message[72:88]) {
			return nil, errNTLM
		}
	}
	return logon, nil
}

// carriesMIC looks into the AV pairs of the client's blob for MsvAvFlags with
// the bit that announces a message integrity code.
func carriesMIC(pairs []byte) bool {
	for len(pairs) >= 4 {
		id, length := binary.LittleEndian.Uint16(pairs), int(binary.LittleEndian.Uint16(pairs[2:]))
		pairs = pairs[4:]
		if id == 0 || length > len(pairs) {
			return false
		}
		if id == 6 && length == 4 {
			return binary.LittleEndian.Uint32(pairs)&2 != 0
		}
		pairs = pairs[length:]
	}
	return false
}

func appendField(m []byte, length, offset int) []byte {
	m = binary.LittleEndian.AppendUint16(m, uint16(length))
	m = binary.LittleEndian.AppendUint16(m, uint16(length))
	return binary.LittleEndian.AppendUint32(m, uint32(offset))
}

func hmacMD5(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(md5.New, key)
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

func utf16le(text string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

func fromUTF16(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}
