package header

import (
	"io"
	"mime"
	"net/mail"
	"strings"
)

// AuthorDomain is the domain of the first address in the value of a From field, as it is written there; "" if the field is a group
// with nobody in it (RFC 6854). Names may have any charset: they are not decoded.
func AuthorDomain(from string) (string, error) {
	parser := mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: undecoded}}
	list, err := parser.ParseList(from)
	if err != nil || len(list) == 0 {
		return "", err
	}
	return list[0].Address[strings.LastIndexByte(list[0].Address, '@')+1:], nil
}

func undecoded(_ string, word io.Reader) (io.Reader, error) { return word, nil }
