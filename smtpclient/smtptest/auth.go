package smtptest

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/xdg-go/scram"
)

// auth logs the client in by RFC 4954.
func (v *conversation) auth(c Command) bool {
	mechanism, initial, _ := strings.Cut(c.Arg, " ")
	mechanism = strings.ToUpper(mechanism)
	if !slices.Contains(v.s.Mechanisms, mechanism) {
		_, ok := v.reply(c, "504 5.5.4 not that way")
		return ok
	}
	user, good, err := v.mechanism(mechanism, initial)
	if err != nil {
		return false
	}
	own := "535 5.7.8 no"
	if good {
		own = "235 2.7.0 welcome"
	}
	class, ok := v.reply(c, own)
	if class == '2' {
		v.m.User = user
	}
	return ok
}

// mechanism speaks one, and says who the client is and whether that is true. The error is that of the connection.
func (v *conversation) mechanism(name, initial string) (user string, good bool, err error) {
	if name == "LOGIN" {
		return v.login()
	}
	if initial == "" {
		if initial, err = v.challenge(""); err != nil {
			return "", false, err
		}
	}
	switch text := decode(initial); name {
	case "PLAIN":
		fields := append(strings.Split(text, "\x00"), "", "")
		return fields[1], v.knows(fields[1], fields[2]), nil
	case "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS":
		return v.scram(name, text)
	default:
		return v.token(text)
	}
}

func (v *conversation) knows(user, password string) bool {
	want, ok := v.s.Users[user]
	return ok && want == password
}

func (v *conversation) login() (user string, good bool, err error) {
	name, err := v.challenge("Username:")
	if err != nil {
		return "", false, err
	}
	password, err := v.challenge("Password:")
	return decode(name), v.knows(decode(name), decode(password)), err
}

// scram is RFC 5802. Where PLUS is offered, too, it notices when somebody has taken it out of the offer.
func (v *conversation) scram(name, text string) (user string, good bool, err error) {
	server, err := scram.SHA256.NewServer(func(user string) (scram.StoredCredentials, error) {
		password, ok := v.s.Users[user]
		if !ok {
			return scram.StoredCredentials{}, errors.New("unknown")
		}
		client, err := scram.SHA256.NewClient(user, password, "")
		if err != nil {
			return scram.StoredCredentials{}, err
		}
		return client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "the salt of a test", Iters: 4096})
	})
	if err != nil {
		return "", false, nil
	}
	talk := server.NewConversation()
	switch binding := v.channelBinding(); {
	case name == "SCRAM-SHA-256-PLUS":
		talk = server.NewConversationWithChannelBindingRequired(binding)
	case slices.Contains(v.s.Mechanisms, "SCRAM-SHA-256-PLUS"):
		talk = server.NewConversationWithChannelBinding(binding)
	}
	for {
		challenge, refused := talk.Step(text)
		if refused != nil {
			return "", false, nil
		}
		if text, err = v.challenge(challenge); err != nil {
			return "", false, err
		}
		if text = decode(text); talk.Done() {
			return talk.Username(), talk.Valid(), nil
		}
	}
}

func (v *conversation) channelBinding() (b scram.ChannelBinding) {
	switch state := v.m.TLS; {
	case state == nil:
	case len(state.TLSUnique) > 0:
		b = scram.NewTLSUniqueBinding(state.TLSUnique)
	default:
		b, _ = scram.NewTLSExporterBinding(state)
	}
	return b
}

// token reads the one message of OAUTHBEARER (RFC 7628) or of XOAUTH2, and says what is wrong with it before it is refused.
func (v *conversation) token(text string) (user string, good bool, err error) {
	var token string
	for field := range strings.SplitSeq(text, "\x01") {
		switch key, value, _ := strings.Cut(field, "="); key {
		case "user", "n,a":
			user = strings.TrimSuffix(value, ",")
		case "auth":
			token = strings.TrimPrefix(value, "Bearer ")
		}
	}
	if v.knows(user, token) {
		return user, true, nil
	}
	_, err = v.challenge(`{"status":"invalid_token"}`)
	return user, false, err
}

func (v *conversation) challenge(prompt string) (answer string, err error) {
	v.w.WriteString("334 " + base64.StdEncoding.EncodeToString([]byte(prompt)) + "\r\n")
	return v.readLine()
}

func decode(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return ""
	}
	return string(b)
}
