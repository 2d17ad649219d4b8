package smtpclient

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/netip"

	"github.com/emersion/go-sasl"
)

// Reasons why a session with credentials can't be opened that no server has spelt out; an [*Error] wraps them.
var (
	ErrNoAuth        = errors.New("server offers no AUTH mechanism that the credentials are for")
	ErrPlaintextAuth = errors.New("credentials aren't sent in plaintext")
	ErrUnproven      = errors.New("server hasn't proved that it knows the password")
)

// Credentials log in to a server, by the first of Mechanisms that it offers and for which there is a secret: Token for
// OAUTHBEARER and XOAUTH2, Password for all others.
//
// With the SCRAM mechanisms the server doesn't learn the password, and has to prove that it knows it; with PLUS nobody can stand
// between, whatever the certificate says. All others trust the server, and only [VerifiedTLS] keeps them from somebody
// who answers in its place. A mechanism that fails is not followed by a weaker one.
type Credentials struct {
	Username string
	Password string
	// Token returns an OAuth access token that is valid for some time to come, such as the AccessToken of an
	// oauth2.TokenSource's. It is asked at each login that needs one, and has until ctx ends, Timeouts.Command at most.
	// With it an empty Password means that there is none.
	Token func(ctx context.Context) (string, error)
	// Mechanisms are those that may be used, best first. Defaults to SCRAM-SHA-256-PLUS, SCRAM-SHA-256, OAUTHBEARER, XOAUTH2,
	// PLAIN and LOGIN.
	Mechanisms []string
	// AllowPlaintext allows a login without TLS. Without it that is done on loopback addresses only, with SCRAM, too: who
	// listens could guess passwords at leisure, and take over the session.
	AllowPlaintext bool
}

// login authenticates the session by RFC 4954, if it has credentials.
func (s *Session) login(ctx context.Context) *Error {
	c := s.o.Auth
	if c == nil {
		return nil
	}
	if s.tls == nil && !c.AllowPlaintext && !s.loopback() {
		return s.failure(PhaseAuth, ErrPlaintextAuth)
	}
	client, err := s.chooseMechanism(ctx)
	if err != nil {
		return s.failure(PhaseAuth, err)
	}
	s.wire.secrets.add(c.Password)
	return s.authenticate(client)
}

const (
	maxChallenges  = 10
	maxAuthCommand = 512 // octets with CRLF, by RFC 4954, section 4
)

func (s *Session) authenticate(client sasl.Client) *Error {
	mechanism, response, err := client.Start()
	if err != nil {
		return s.failure(PhaseAuth, err)
	}
	command := "AUTH " + mechanism
	s.wire.secrets.add(encodeResponse(response))
	waits := len(response) > 0 // for a challenge that only says "go on"
	if n := len(command) + len(" \r\n") + base64.StdEncoding.EncodedLen(len(response)); waits && n <= maxAuthCommand {
		command += " " + encodeResponse(response)
		waits = false
	}
	a, err := s.ask(command, s.o.Timeouts.Command)
	for range maxChallenges {
		switch {
		case err != nil:
			return s.failure(PhaseAuth, err)
		case a.code/100 == 2:
			return s.authenticated(client)
		case a.code != 334:
			return s.refusal(PhaseAuth, a.reply())
		}
		if !waits {
			if response, err = nextResponse(client, a.lines[len(a.lines)-1]); err != nil {
				return s.failure(PhaseAuth, err)
			}
		}
		waits = false
		s.wire.secrets.add(encodeResponse(response))
		a, err = s.ask(encodeResponse(response), s.o.Timeouts.Command)
	}
	return s.failure(PhaseAuth, protocolError("more than %d challenges", maxChallenges))
}

func encodeResponse(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func nextResponse(client sasl.Client, line string) ([]byte, error) {
	challenge, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		return nil, protocolError("challenge is not base64")
	}
	return client.Next(challenge)
}

// authenticated ends a login that the server takes for good: now it has had its chance to be asked about itself.
func (s *Session) authenticated(client sasl.Client) *Error {
	if c, ok := client.(*scramClient); ok && !c.conversation.Valid() {
		return s.failure(PhaseAuth, ErrUnproven)
	}
	s.wire.secrets.forget()
	return nil
}

// loopback reports whether the server is on this machine. A proxy that is doesn't make it so, hence both addresses.
func (s *Session) loopback() bool {
	dialled, err := netip.ParseAddrPort(s.addr)
	if err != nil || !dialled.Addr().Unmap().IsLoopback() {
		return false
	}
	tcp, ok := s.wire.raw.RemoteAddr().(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
