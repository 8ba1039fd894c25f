package diagnosis

import (
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

// Decode turns a log's bytes into text: UTF-16 or UTF-8 by their byte order
// mark, UTF-16 without one when most of its high bytes are zero, then UTF-8, and
// Windows-1252 for everything else. A piece that was cut out of a log by byte
// offsets may begin or end within a character; that character is dropped.
// Line ends stay as they are.
//
// EC2Launch v1 writes its log as UTF-16 with a mark, so the part that one run
// appended has none.
func Decode(data []byte) string {
	if len(data) >= 2 {
		switch {
		case data[0] == 0xff && data[1] == 0xfe:
			return decodeUTF16(data[2:], unicode.LittleEndian)
		case data[0] == 0xfe && data[1] == 0xff:
			return decodeUTF16(data[2:], unicode.BigEndian)
		}
	}
	if len(data) >= 3 && data[0] == 0xef && data[1] == 0xbb && data[2] == 0xbf {
		data = data[3:]
	}
	switch even, odd := zeroShare(data); {
	case odd > 0.5 && even < 0.1:
		return decodeUTF16(data, unicode.LittleEndian)
	case even > 0.5 && odd < 0.1:
		return decodeUTF16(data, unicode.BigEndian)
	}
	if utf8.Valid(data) {
		return string(data)
	}
	if whole := wholeRunes(data); utf8.Valid(whole) {
		return string(whole)
	}
	text, err := charmap.Windows1252.NewDecoder().Bytes(data)
	if err != nil {
		return string(data)
	}
	return string(text)
}

// decodeUTF16 decodes UTF-16 without a mark; a lone byte at the end is dropped.
func decodeUTF16(data []byte, order unicode.Endianness) string {
	data = data[:len(data)&^1]
	text, err := unicode.UTF16(order, unicode.IgnoreBOM).NewDecoder().Bytes(data)
	if err != nil {
		return string(data)
	}
	return string(text)
}

// zeroShare is the share of zero bytes among the bytes at even and at odd
// offsets, judged by the first 4 KiB.
func zeroShare(data []byte) (even, odd float64) {
	data = data[:min(len(data), 4096)&^1]
	if len(data) == 0 {
		return 0, 0
	}
	var count [2]int
	for i, b := range data {
		if b == 0 {
			count[i%2]++
		}
	}
	half := float64(len(data) / 2)
	return float64(count[0]) / half, float64(count[1]) / half
}

// wholeRunes drops the rest of a UTF-8 character at the beginning and the
// beginning of one at the end.
func wholeRunes(data []byte) []byte {
	for i := 0; i < utf8.UTFMax-1 && len(data) > 0 && !utf8.RuneStart(data[0]); i++ {
		data = data[1:]
	}
	for back := 1; back < utf8.UTFMax && back <= len(data); back++ {
		if b := data[len(data)-back]; utf8.RuneStart(b) {
			if !utf8.FullRune(data[len(data)-back:]) {
				data = data[:len(data)-back]
			}
			break
		}
	}
	return data
}
