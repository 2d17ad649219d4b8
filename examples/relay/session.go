package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
)

const (
	readTimeout   = 5 * time.Minute // for a command, and for a whole message
	writeTimeout  = time.Minute
	maxRecipients = 1000
	maxLine       = 64 << 10 // octets; lines of a message that are shorter, but too long, are refused politely
	maxTrace      = 1024     // octets of a Received field, at most
)

// newServer returns the server that takes mail for sender, from the connections of a [listener].
func newServer(sender *delivery.Sender, hostname string, maxSize int64, log *slog.Logger) *smtp.Server {
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		accepted, ok := c.Conn().(*conn)
		if !ok {
			return nil, errors.New("not a connection of the listener")
		}
		return &session{sender: sender, hostname: hostname, helo: c.Hostname(), conn: accepted}, nil
	}))
	s.Domain = hostname
	s.MaxMessageBytes = maxSize // the server refuses one of exactly this size, too, since it counts before it sees the end
	s.MaxRecipients = maxRecipients
	s.MaxLineLength = maxLine
	s.ReadTimeout = readTimeout
	s.WriteTimeout = writeTimeout
	s.EnableSMTPUTF8 = true
	s.EnableDSN = true
	s.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	return s
}

// session is one client. It collects an envelope, and enqueues the message when it comes.
type session struct {
	sender   *delivery.Sender
	hostname string
	helo     string // what the client calls itself
	conn     *conn

	mu      sync.Mutex       // guards what follows: BDAT reads the message in a goroutine of its own
	message delivery.Message // Key is set from MAIL on
	id      queue.ID         // that Key stands for; known from the first recipient on
}

// Reset forgets the envelope.
func (s *session) Reset() { s.take() }

// Logout does nothing.
func (s *session) Logout() error { return nil }

// take returns the envelope, and forgets it.
func (s *session) take() (delivery.Message, queue.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, id := s.message, s.id
	s.message, s.id = delivery.Message{}, ""
	return m, id
}

// Mail begins a transaction. Its message gets a key, from which follows the ID that the Received field gives.
func (s *session) Mail(from string, o *smtp.MailOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.message.Key != "" {
		return reply(503, smtp.EnhancedCode{5, 5, 1}, "There is a sender already")
	}
	m := delivery.Message{
		Key:        rand.Text(),
		From:       requote(from),
		UTF8:       o.UTF8,
		Return:     queue.Return(o.Return),
		EnvelopeID: o.EnvelopeID,
	}
	var field *delivery.FieldError // that there are no recipients yet is one, too
	if _, err := s.sender.Prepare(m); errors.As(err, &field) && field.Field == "From" {
		return reply(553, smtp.EnhancedCode{5, 1, 7}, "Sender "+printable(field.Err))
	}
	if err := checkUTF8(from, o.UTF8); err != nil {
		return err
	}
	s.message = m
	return nil
}

// Rcpt adds a recipient.
func (s *session) Rcpt(to string, o *smtp.RcptOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := delivery.Recipient{Address: requote(to), Notify: notify(o.Notify)}
	if o.OriginalRecipient != "" {
		r.Original = strings.ToLower(string(o.OriginalRecipientType)) + ";" + o.OriginalRecipient
	}
	alone := s.message
	alone.From, alone.To = "", []delivery.Recipient{r} // the sender was checked before
	entry, err := s.sender.Prepare(alone)
	if err != nil {
		return answer(err)
	}
	if err := checkUTF8(to, s.message.UTF8); err != nil {
		return err
	}
	s.id = entry.Message.ID
	s.message.To = append(s.message.To, r)
	return nil
}

// Data enqueues the message. The server answers with what it returns, which is an [smtp.SMTPError] for success, too.
func (s *session) Data(r io.Reader) error {
	defer s.conn.transfer()()
	m, id := s.take()
	body := &incoming{r: r, conn: s.conn}
	m.Body = io.MultiReader(strings.NewReader(s.received(id, m.UTF8)), body)
	receipt, err := s.sender.Enqueue(context.Background(), m)
	switch {
	case body.broken:
		s.conn.drain() // what may still come of the message must not be taken for commands
		return reply(451, smtp.EnhancedCode{4, 4, 2}, "The message did not arrive completely")
	case err != nil:
		return answer(err)
	}
	return reply(250, smtp.EnhancedCode{2, 0, 0}, "OK: queued as "+string(receipt.ID))
}

// received is the trace field that each server puts on top of a message (RFC 5321, section 4.4).
func (s *session) received(id queue.ID, utf8 bool) string {
	protocol := "ESMTP"
	if utf8 {
		protocol = "UTF8SMTP"
	}
	return fmt.Sprintf("Received: from %s (%s)\r\n\tby %s with %s id %s;\r\n\t%s\r\n",
		heloName(s.helo), literal(s.conn.RemoteAddr()), s.hostname, protocol, id, time.Now().Format(time.RFC1123Z))
}

// heloName is the name that a client gave, if it can stand in a header field.
func heloName(s string) string {
	foreign := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:[]", r)
	}
	if s == "" || len(s) > 255 || strings.ContainsFunc(s, foreign) {
		return "unknown"
	}
	return s
}

// literal is an address literal (RFC 5321, section 4.1.3).
func literal(a net.Addr) string {
	ap, _ := netip.ParseAddrPort(a.String())
	addr := ap.Addr().Unmap().WithZone("")
	if addr.Is6() {
		return "[IPv6:" + addr.String() + "]"
	}
	return "[" + addr.String() + "]"
}

// incoming is the data of a message on its way in.
type incoming struct {
	r      io.Reader
	conn   *conn
	broken bool // it ended before its end
}

// Read reads the message. The server takes a BDAT chunk that the connection's end cuts off for a whole one; the connection
// knows better.
func (in *incoming) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	if err == io.EOF && in.conn.failed.Load() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF && err != smtp.ErrDataTooLarge && err != smtp.ErrDataReset {
		in.broken = true
	}
	return n, err
}

// requote puts the quotes back around a local part that can't be without them: the server gives addresses without. One
// with an "@" is left as it is, and refused later, since it may never have had quotes.
func requote(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 || !strings.ContainsAny(address[:at], "()<>[]:;\\,\" \t") {
		return address
	}
	local := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(address[:at])
	return `"` + local + `"` + address[at:]
}

func notify(list []smtp.DSNNotify) (n queue.Notify) {
	for _, word := range list {
		switch word {
		case smtp.DSNNotifyNever:
			n |= queue.NotifyNever
		case smtp.DSNNotifySuccess:
			n |= queue.NotifySuccess
		case smtp.DSNNotifyFailure:
			n |= queue.NotifyFailure
		case smtp.DSNNotifyDelayed:
			n |= queue.NotifyDelay
		}
	}
	return n
}
