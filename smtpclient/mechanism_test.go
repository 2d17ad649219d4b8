package smtpclient

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// The conversation of RFC 7677, section 3.
const (
	serverFirst = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	serverFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
)

func exampleClient() *scramClient {
	return newScramClient(scramOnly, &Credentials{Username: "user", Password: "pencil"}, func(c *scram.Client) *scram.ClientConversation {
		return c.WithNonceGenerator(func() string { return "rOprNGfwEbeRWgbNEkqO" }).NewConversation()
	})
}

func TestScram(t *testing.T) {
	challenge := strings.Split(serverFirst, ",")
	nonce, salt := challenge[0], challenge[1]
	for _, c := range []struct {
		name       string
		challenges []string
		want       []string // responses; nothing after an error
		err        error
		proven     bool
	}{
		{"as in the RFC", []string{serverFirst, serverFinal},
			[]string{"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", ""}, nil, true},
		{"no proof", []string{serverFirst}, []string{"*"}, nil, false},
		{"wrong proof", []string{serverFirst, strings.Replace(serverFinal, "6rri", "7rri", 1)}, []string{"*"}, ErrUnproven, false},
		{"no signature", []string{serverFirst, ""}, []string{"*"}, ErrUnproven, false},
		{"refusal", []string{serverFirst, "e=invalid-proof"}, []string{"*", ""}, nil, false},
		{"one more", []string{serverFirst, serverFinal, "more"}, []string{"*", ""}, sasl.ErrUnexpectedServerChallenge, true},
		{"another nonce", []string{"r=other," + salt + ",i=4096"}, nil, ErrProtocol, false},
		{"few iterations", []string{nonce + "," + salt + ",i=4095"}, nil, ErrProtocol, false},
		{"as many iterations as can be, and one", []string{nonce + "," + salt + ",i=2000001"}, nil, ErrProtocol, false},
		{"more than fit", []string{nonce + "," + salt + ",i=99999999999999999999"}, nil, ErrProtocol, false},
		{"negative", []string{nonce + "," + salt + ",i=-1"}, nil, ErrProtocol, false},
		{"extension", []string{"m=x," + serverFirst}, nil, ErrProtocol, false},
		{"no salt", []string{nonce + ",s=?,i=4096"}, nil, ErrProtocol, false},
		{"empty", []string{""}, nil, ErrProtocol, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := exampleClient()
			if _, first, err := client.Start(); err != nil || string(first) != "n,,n=user,r=rOprNGfwEbeRWgbNEkqO" {
				t.Fatalf("%q, %v", first, err)
			}
			var err error
			for i, challenge := range c.challenges {
				var response []byte
				if response, err = client.Next([]byte(challenge)); err != nil {
					break
				}
				if c.want[i] != "*" && string(response) != c.want[i] {
					t.Errorf("response %q, want %q", response, c.want[i])
				}
			}
			if !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			if client.conversation.Valid() != c.proven {
				t.Errorf("proven %v", !c.proven)
			}
		})
	}
}

// Passwords that SASLprep doesn't know, such as those with an emoji, go as they are.
func TestScramUnprepared(t *testing.T) {
	c := newScramClient(scramOnly, &Credentials{Username: "user", Password: "\U0001F511"}, (*scram.Client).NewConversation)
	if _, first, err := c.Start(); err != nil || !strings.HasPrefix(string(first), "n,,n=user,") {
		t.Errorf("%q, %v", first, err)
	}
}

// Whatever a server challenges us with, the answer comes soon, errors are printable, and nobody is proven right who doesn't
// know the password.
func FuzzChallenge(f *testing.F) {
	f.Add("cj1yT3ByTkdmd0ViZVJXZ2JORWtxTw==", "")
	f.Add(encodeResponse([]byte(serverFirst)), encodeResponse([]byte(serverFinal)))
	f.Add(encodeResponse([]byte("r=rOprNGfwEbeRWgbNEkqO1,s=eA==,i=2147483647")), "dj1l")
	f.Add(encodeResponse([]byte("m=x,r=\x1b")), "?")
	f.Add("", encodeResponse([]byte("e=\u202eother-error")))
	f.Fuzz(func(t *testing.T, first, second string) {
		if n := iterations(decodeChallenge(first)); n > 10_000 && n <= maxIterations {
			t.Skip("takes a while")
		}
		client := exampleClient()
		client.Start()
		for _, challenge := range []string{first, second} {
			response, err := nextResponse(client, challenge)
			if err != nil && err.Error() != printable(err.Error()) {
				t.Errorf("%q", err)
			}
			if len(response) > len(challenge)+300 {
				t.Errorf("%d octets", len(response))
			}
			if err != nil {
				break
			}
		}
		if client.conversation.Valid() && decodeChallenge(first) != serverFirst {
			t.Error("proven right without the password")
		}
		for _, other := range []sasl.Client{&tokenClient{}, &loginClient{answers: []string{"a"}}, sasl.NewPlainClient("", "a", "b")} {
			nextResponse(other, first)
			nextResponse(other, second)
		}
	})
}

func decodeChallenge(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return ""
	}
	return string(b)
}
