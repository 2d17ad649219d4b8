package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
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
)

// newServer returns the server that takes mail for sender, from the connections of a [listener].
func newServer(sender *delivery.Sender, hostname string, maxSize int64, log *slog.Logger) *smtp.Server {
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		accepted, ok := c.Conn().(*conn)
		if !ok {
			return nil, errors.New("not a connection of the listener")
		}
		return &session{sender: sender, helo: c.Hostname(), conn: accepted}, nil
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
	sender *delivery.Sender
	helo   string // what the client calls itself
	conn   *conn

	mu      sync.Mutex // guards what follows: BDAT reads the message in a goroutine of its own
	begun   bool       // there was a MAIL
	message delivery.Message
}

// Reset forgets the envelope.
func (s *session) Reset() { s.take() }

// Logout does nothing.
func (s *session) Logout() error { return nil }

// take returns the envelope, and forgets it.
func (s *session) take() delivery.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.message
	s.begun, s.message = false, delivery.Message{}
	return m
}

// Mail begins a transaction.
func (s *session) Mail(from string, o *smtp.MailOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		return reply(503, smtp.EnhancedCode{5, 5, 1}, "There is a sender already")
	}
	m := delivery.Message{
		From:       requote(from),
		Client:     s.client(o.UTF8),
		UTF8:       o.UTF8,
		Return:     queue.Return(o.Return),
		EnvelopeID: o.EnvelopeID,
	}
	var field *delivery.FieldError // that there are no recipients yet is one, too
	if errors.As(m.Check(), &field) && field.Field == "From" {
		return reply(553, smtp.EnhancedCode{5, 1, 7}, "Sender "+printable(field.Err))
	}
	if err := checkUTF8(from, o.UTF8); err != nil {
		return err
	}
	s.begun, s.message = true, m
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
	if err := alone.Check(); err != nil {
		return answer(err)
	}
	if err := checkUTF8(to, s.message.UTF8); err != nil {
		return err
	}
	s.message.To = append(s.message.To, r)
	return nil
}

// Data enqueues the message. The server answers with what it returns, which is an [smtp.SMTPError] for success, too.
func (s *session) Data(r io.Reader) error {
	defer s.conn.transfer()()
	m := s.take()
	body := &incoming{r: r, conn: s.conn}
	m.Body = body
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

// client is what the message's Received field says of who it came from.
func (s *session) client(utf8 bool) delivery.Client {
	c := delivery.Client{Name: s.helo, Protocol: "ESMTP"}
	if utf8 {
		c.Protocol = "UTF8SMTP"
	}
	if a, ok := s.conn.RemoteAddr().(*net.TCPAddr); ok {
		c.Addr = a.AddrPort().Addr()
	}
	return c
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
