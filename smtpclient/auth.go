package smtpclient

import (
	"encoding/base64"
	"net"
	"net/netip"

	"github.com/emersion/go-sasl"
)

// login authenticates the session by RFC 4954, if it has credentials.
func (s *Session) login() *Error {
	c := s.o.Auth
	if c == nil {
		return nil
	}
	if s.tls == nil && !c.AllowPlaintext && !s.loopback() {
		return s.failure(PhaseAuth, ErrPlaintextAuth)
	}
	var client sasl.Client
	switch s.ext.mechanism(sasl.Plain, sasl.Login) {
	case sasl.Plain:
		client = sasl.NewPlainClient("", c.Username, c.Password)
	case sasl.Login:
		client = &loginClient{answers: []string{c.Username, c.Password}}
	default:
		return s.failure(PhaseAuth, ErrNoAuth)
	}
	return s.authenticate(client)
}

const maxChallenges = 10

func (s *Session) authenticate(client sasl.Client) *Error {
	mechanism, initial, err := client.Start()
	if err != nil {
		return s.failure(PhaseAuth, err)
	}
	line := "AUTH " + mechanism
	if initial != nil {
		line += " " + encodeResponse(initial)
	}
	for range maxChallenges {
		a, err := s.ask(line, s.o.Timeouts.Command)
		switch {
		case err != nil:
			return s.failure(PhaseAuth, err)
		case a.code/100 == 2:
			return nil
		case a.code != 334:
			return s.refusal(PhaseAuth, a.reply())
		}
		challenge, err := base64.StdEncoding.DecodeString(a.lines[len(a.lines)-1])
		if err != nil {
			return s.failure(PhaseAuth, protocolError("challenge is not base64"))
		}
		response, err := client.Next(challenge)
		if err != nil {
			return s.failure(PhaseAuth, err)
		}
		line = base64.StdEncoding.EncodeToString(response)
	}
	return s.failure(PhaseAuth, protocolError("more than %d challenges", maxChallenges))
}

// encodeResponse writes an empty initial response as "=", since nothing would mean that there is none.
func encodeResponse(b []byte) string {
	if len(b) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(b)
}

// loginClient is LOGIN as servers speak it: whatever the two prompts say, the first is for the name and the second for the
// password. Package sasl's own insists on the wording, and sends the name before it is asked.
type loginClient struct {
	answers []string
}

func (c *loginClient) Start() (mechanism string, initial []byte, err error) {
	return sasl.Login, nil, nil
}

func (c *loginClient) Next([]byte) ([]byte, error) {
	if len(c.answers) == 0 {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	answer := c.answers[0]
	c.answers = c.answers[1:]
	return []byte(answer), nil
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
