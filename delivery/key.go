package delivery

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/mail"
)

// MessageIDKey derives a Message.Key from the Message-ID field of the message that body begins with. It reads the header
// section only. Use it where each message has a Message-ID of its own, and only once for each set of recipients.
func MessageIDKey(body io.Reader) (string, error) {
	m, err := mail.ReadMessage(io.LimitReader(body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("delivery: reading the header section: %w", err)
	}
	id := m.Header.Get("Message-ID")
	if id == "" {
		return "", errors.New("delivery: the message has no Message-ID")
	}
	return "message-id " + id, nil
}

// ContentKey derives a Message.Key from the sender, the recipients in their order, and the octets of the body, which it reads
// to its end. Two messages that say the same to the same people then count as one, for as long as the queue remembers.
func ContentKey(from string, to []Recipient, body io.Reader) (string, error) {
	h := hashEnvelope(from, to)
	if _, err := io.Copy(h, body); err != nil {
		return "", fmt.Errorf("delivery: reading the body: %w", err)
	}
	return "content " + hex.EncodeToString(h.Sum(nil)), nil
}
