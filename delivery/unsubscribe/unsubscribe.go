// Package unsubscribe lets the recipients of bulk mail leave: it writes the header fields List-Unsubscribe (RFC 2369) and
// List-Unsubscribe-Post (RFC 8058), makes links that only the sender can make, and answers the one click.
//
// The large mailbox providers ask bulk senders for both fields, and show a button for them. What it does is a POST to the https
// URL of the message, without cookies and without a word from the recipient, so that the URL has to name the recipient, and
// must not be one that others can make up. So a message that is to be left with one click has a body of its own for each
// recipient; one body for all can only have a mailto URI, to which the recipient writes.
//
// A provider shows the button only if a DKIM signature of the message covers both fields (RFC 8058, section 4).
package unsubscribe

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

const (
	maxURI  = 900 // octets: a line has at most 998 (RFC 5322, section 2.1.1)
	oneName = "List-Unsubscribe"
	oneWord = "One-Click"
)

// Fields are the values of the two header fields.
type Fields struct {
	ListUnsubscribe     string
	ListUnsubscribePost string // "" where there is nothing to click
}

// NewFields makes the fields of an https URL that answers one click, as [Links.URL] makes one, and of a mailto URI for programs that can't
// click, such as "mailto:leave@news.example?subject=leave". Either may be "", but not both. They must be encoded as URIs are, and have
// at most 900 octets; the error names the one that isn't so.
func NewFields(link, mailto string) (Fields, error) {
	var f Fields
	var uris []string
	if link != "" {
		if err := checkLink(link); err != nil {
			return Fields{}, err
		}
		uris = append(uris, "<"+link+">")
		f.ListUnsubscribePost = oneName + "=" + oneWord
	}
	if mailto != "" {
		if err := checkMailto(mailto); err != nil {
			return Fields{}, err
		}
		uris = append(uris, "<"+mailto+">")
	}
	if len(uris) == 0 {
		return Fields{}, errors.New("unsubscribe: neither a link nor a mailto URI")
	}
	f.ListUnsubscribe = strings.Join(uris, ", ")
	return f, nil
}

// String is the fields as they stand in a header section, folded, with CRLF after each line.
func (f Fields) String() string {
	s := "List-Unsubscribe: " + strings.ReplaceAll(f.ListUnsubscribe, ">, <", ">,\r\n <") + "\r\n"
	if f.ListUnsubscribePost != "" {
		s += "List-Unsubscribe-Post: " + f.ListUnsubscribePost + "\r\n"
	}
	return s
}

// checkLink refuses what no provider would click on.
func checkLink(link string) error {
	u, err := url.Parse(link)
	switch {
	case err != nil || !isURI(link) || u.Host == "":
		return fmt.Errorf("unsubscribe: %.100q is not a URL", link)
	case u.Scheme != "https": // RFC 8058, section 3
		return fmt.Errorf("unsubscribe: %.100q is not https", link)
	case u.User != nil || strings.Contains(link, "#"):
		return fmt.Errorf("unsubscribe: %.100q has a user or a fragment", link)
	case len(link) > maxURI:
		return fmt.Errorf("unsubscribe: %.100q has more than %d octets", link, maxURI)
	}
	return nil
}

func checkMailto(mailto string) error {
	u, err := url.Parse(mailto)
	switch {
	case err != nil || !isURI(mailto) || u.Scheme != "mailto" || !strings.Contains(u.Opaque, "@"):
		return fmt.Errorf("unsubscribe: %.100q is not a mailto URI with an address", mailto)
	case len(mailto) > maxURI:
		return fmt.Errorf("unsubscribe: %.100q has more than %d octets", mailto, maxURI)
	}
	return nil
}

// isURI reports whether s has only what URIs have (RFC 3986, section 2): it can then stand between angle brackets.
func isURI(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"<>\^{|}`+"`", r)
	})
}
