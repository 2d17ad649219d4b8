package smtpclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

const (
	scramPlus = "SCRAM-SHA-256-PLUS"
	scramOnly = "SCRAM-SHA-256"
	xoauth2   = "XOAUTH2"
)

// chooseMechanism is the first that the server offers, the credentials allow and have a secret for.
func (s *Session) chooseMechanism(ctx context.Context) (sasl.Client, error) {
	c := s.o.Auth
	binding := channelBinding(s.tls)
	allowed := c.Mechanisms
	if allowed == nil {
		allowed = allMechanisms()
	}
	possible := slices.DeleteFunc(slices.Clone(allowed), func(m string) bool {
		return !c.hasSecret(m) || m == scramPlus && !binding.IsSupported()
	})
	switch m := s.ext.mechanism(possible...); m {
	case scramPlus, scramOnly:
		return newScramClient(m, c, s.conversationKind(m, binding)), nil
	case sasl.OAuthBearer, xoauth2:
		return s.newTokenClient(ctx, m)
	case sasl.Plain:
		if strings.Contains(c.Username+c.Password, "\x00") {
			return nil, errors.New("PLAIN takes no credentials with a NUL")
		}
		return sasl.NewPlainClient("", c.Username, c.Password), nil
	case sasl.Login:
		return &loginClient{answers: []string{c.Username, c.Password}}, nil
	}
	return nil, ErrNoAuth
}

// hasSecret reports whether there is what a mechanism proves.
func (c *Credentials) hasSecret(mechanism string) bool {
	if mechanism == sasl.OAuthBearer || mechanism == xoauth2 {
		return c.Token != nil
	}
	return c.Token == nil || c.Password != ""
}

// allMechanisms are those that are known here, best first.
func allMechanisms() []string {
	return []string{scramPlus, scramOnly, sasl.OAuthBearer, xoauth2, sasl.Plain, sasl.Login}
}

// channelBinding ties a login to the TLS session under it. Nothing in SMTP says which types a server knows, so each protocol
// version has the one that is the default for it: tls-exporter for TLS 1.3 (RFC 9266), tls-unique before (RFC 5802, section
// 6), and tls-server-end-point (RFC 5929) where there is none.
func channelBinding(state *tls.ConnectionState) (b scram.ChannelBinding) {
	switch {
	case state == nil:
	case state.Version >= tls.VersionTLS13:
		b, _ = scram.NewTLSExporterBinding(state)
	case len(state.TLSUnique) > 0:
		b = scram.NewTLSUniqueBinding(state.TLSUnique)
	default:
		b, _ = scram.NewTLSServerEndpointBinding(state)
	}
	return b // or none, after an error
}

// conversationKind says with which of RFC 5802's flags a conversation begins: "p" binds it to the channel, "y" says that
// the server seems not to, and fails if somebody has only taken PLUS out of its offer, "n" is for channels without
// a binding and callers who don't want any.
func (s *Session) conversationKind(mechanism string, b scram.ChannelBinding) func(*scram.Client) *scram.ClientConversation {
	switch {
	case mechanism == scramPlus:
		return func(c *scram.Client) *scram.ClientConversation { return c.NewConversationWithChannelBinding(b) }
	case b.IsSupported() && s.ext.mechanism(scramPlus) == "":
		return (*scram.Client).NewConversationAdvertisingChannelBinding
	}
	return (*scram.Client).NewConversation
}

// maxIterations is how often a server can have the password hashed, which takes about a second.
const maxIterations = 2_000_000

// scramClient is SCRAM (RFC 5802, RFC 7677).
type scramClient struct {
	name         string
	conversation *scram.ClientConversation
	heard        int // challenges
}

func newScramClient(name string, c *Credentials, begin func(*scram.Client) *scram.ClientConversation) *scramClient {
	client, err := scram.SHA256.NewClient(c.Username, c.Password, "")
	if err != nil { // SASLprep knows nothing newer than Unicode 3.2, and servers often don't know SASLprep
		client, _ = scram.SHA256.NewClientUnprepped(c.Username, c.Password, "")
	}
	return &scramClient{name: name, conversation: begin(client)}
}

func (c *scramClient) Start() (mechanism string, initial []byte, err error) {
	first, err := c.conversation.Step("")
	return c.name, []byte(first), err
}

func (c *scramClient) Next(challenge []byte) ([]byte, error) {
	c.heard++
	switch {
	case c.heard == 1 && iterations(string(challenge)) > maxIterations:
		return nil, protocolError("SCRAM with more than %d iterations", maxIterations)
	case c.heard == 2 && bytes.HasPrefix(challenge, []byte("e=")):
		return nil, nil // a refusal, which its reply will say in words
	case c.conversation.Done():
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	response, err := c.conversation.Step(string(challenge))
	switch {
	case err != nil && c.heard == 2:
		return nil, ErrUnproven
	case err != nil:
		return nil, protocolError("SCRAM: %.100s", printable(err.Error()))
	}
	return []byte(response), nil
}

// iterations is the number in a server-first-message, 0 if there is none: then the library will say so.
func iterations(challenge string) int {
	fields := strings.Split(challenge, ",")
	if len(fields) < 3 {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimPrefix(fields[2], "i="))
	if errors.Is(err, strconv.ErrRange) {
		return maxIterations + 1
	}
	return n
}

// tokenClient is OAUTHBEARER (RFC 7628) or XOAUTH2, Google's and Microsoft's own: one message. If it is refused the server says
// why in a challenge, and the refusal itself comes only after an answer to that.
type tokenClient struct {
	name    string
	initial string
	answer  []byte
}

func (s *Session) newTokenClient(ctx context.Context, mechanism string) (*tokenClient, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeouts.Command)
	defer cancel()
	token, err := s.o.Auth.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	user := s.o.Auth.Username
	if token == "" || strings.ContainsFunc(user+token, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, errors.New("the token is empty, or it or the user's name has a control character")
	}
	s.wire.secrets.add(token)
	if mechanism == xoauth2 {
		return &tokenClient{name: xoauth2, initial: "user=" + user + "\x01auth=Bearer " + token + "\x01\x01"}, nil
	}
	initial := "n,"
	if user != "" {
		initial += "a=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user)
	}
	initial += ",\x01host=" + strings.TrimSuffix(s.o.ServerName, ".")
	if a, err := netip.ParseAddrPort(s.addr); err == nil {
		initial += fmt.Sprintf("\x01port=%d", a.Port())
	}
	return &tokenClient{name: sasl.OAuthBearer, initial: initial + "\x01auth=Bearer " + token + "\x01\x01", answer: []byte{1}}, nil
}

func (c *tokenClient) Start() (mechanism string, initial []byte, err error) {
	return c.name, []byte(c.initial), nil
}

func (c *tokenClient) Next([]byte) ([]byte, error) { return c.answer, nil }

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
