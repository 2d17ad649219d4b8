package header

import (
	"encoding/binary"
	"mime"
	"net/mail"
	"strings"
	"unicode/utf8"
)

// EncodeWords returns section, which is UTF-8, with encoded words (RFC 2047) in place of what is not ASCII, where everybody looks
// for them: in fields that are plain text (Subject, Comments, Content-Description, Organization, Thread-Topic, X-anything), and in
// the names of lists of addresses (From, Sender, Reply-To, To, Cc, and the Resent fields of these names). All other fields stay as
// they are, and so does a list that has a group, a comment, or an address that isn't ASCII.
func EncodeWords(section []byte) []byte {
	out := make([]byte, 0, 2*len(section))
	for name, field := range Fields(section) {
		out = encodeField(out, name, field)
	}
	return out
}

// encodeField appends field to out, in ASCII if possible.
func encodeField(out, name, field []byte) []byte {
	value, ok := "", false
	if !ASCII(field) {
		value, ok = encodeValue(string(name), Value(field))
	}
	if !ok {
		return append(out, field...)
	}
	folded, ok := Fold(out, []byte(string(name)+": "+value))
	if !ok {
		return append(out, field...)
	}
	return append(folded, "\r\n"...)
}

// encodeValue returns the value of a field in ASCII.
func encodeValue(name, value string) (string, bool) {
	switch name = strings.ToLower(name); strings.TrimPrefix(name, "resent-") {
	case "from", "sender", "reply-to", "to", "cc":
		return encodeAddresses(value)
	case "subject", "comments", "content-description", "organization", "thread-topic":
		return encodeText(value), true
	}
	if strings.HasPrefix(name, "x-") {
		return encodeText(value), true
	}
	return "", false
}

// encodeText encodes the whole of value, so that white space between two words that need it isn't lost. The encoded words that
// it has already become part of it.
func encodeText(value string) string {
	if decoded, err := new(mime.WordDecoder).DecodeHeader(value); err == nil {
		value = decoded
	}
	return mime.QEncoding.Encode("utf-8", value)
}

func encodeAddresses(value string) (string, bool) {
	if strings.ContainsAny(value, "(;") {
		return "", false // a comment or a group, which net/mail would lose; or no more than a name that has such a character
	}
	list, err := mail.ParseAddressList(value)
	if err != nil {
		return "", false
	}
	encoded := make([]string, len(list))
	for i, a := range list {
		encoded[i] = a.String()
	}
	value = strings.Join(encoded, ", ")
	return value, ASCII([]byte(value))
}

// ASCII reports whether b has no octets above 127.
func ASCII(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.NativeEndian.Uint64(b)&0x8080808080808080 != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
