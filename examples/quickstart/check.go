package main

import (
	"bytes"
	"fmt"
	"net/mail"
	"strings"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// equal is the check that most promises come down to. It is silent about a promise that was kept.
func equal[T comparable](what string, got, want T) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%s: %v, where %v was promised", what, got, want)
}

// outcomes lists what became of the attempts, in their order.
func outcomes(attempts []delivery.Attempted) string {
	var list []string
	for _, a := range attempts {
		list = append(list, string(a.Outcome))
	}
	return strings.Join(list, ", ")
}

// only returns the message that a server has taken, if it has taken exactly one.
func only(s *smtptest.Server) (*smtptest.Message, error) {
	messages := s.Messages()
	if err := equal("messages that "+s.Name+" has", len(messages), 1); err != nil {
		return nil, err
	}
	return &messages[0], nil
}

// envelope is what a server was told before the data, on one line.
func envelope(m *smtptest.Message) string {
	var to []string
	for _, r := range m.To {
		to = append(to, r.Address)
	}
	return fmt.Sprintf("%s -> %s", m.From, strings.Join(to, ", "))
}

// octets checks that two messages are the same, to the last octet.
func octets(what string, got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	return fmt.Errorf("%s: %d octets, which differ at %d from the %d that were promised", what, len(got), at, len(want))
}

// untraced is a message without the Received field that Enqueue has put on top, of two lines.
func untraced(data []byte) []byte {
	lines := bytes.SplitAfterN(data, []byte("\r\n"), 3)
	if len(lines) < 3 || !bytes.HasPrefix(lines[0], []byte("Received: by ")) {
		return data
	}
	return lines[2]
}

// field is the value of a message's header field, "" if it has none.
func field(data []byte, name string) string {
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return ""
	}
	return m.Header.Get(name)
}

// crlf is a text with the line ends of SMTP.
func crlf(text string) []byte { return []byte(strings.ReplaceAll(text, "\n", "\r\n")) }
