package smtpclient_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"strings"

	"golang.org/x/net/proxy"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// A session is opened, used and closed. One recipient is unknown, and the other gets the message.
func Example() {
	server := smtptest.NewServer(func(c smtptest.Command) string {
		if c.Verb == "RCPT" && c.Address == "nobody@example.org" {
			return "550 5.1.1 no such user"
		}
		return ""
	})
	defer server.Close()

	ctx := context.Background()
	session, err := smtpclient.Dial(ctx, server.Addr, &smtpclient.Options{LocalName: "client.example.com"})
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()

	to := []smtpclient.Recipient{{Address: "somebody@example.org"}, {Address: "nobody@example.org"}}
	results, err := session.Send(ctx, &smtpclient.Envelope{From: "me@example.com", To: to},
		strings.NewReader("Subject: Hello\r\n\r\nHello.\r\n"))
	if err != nil {
		log.Print(err) // the session is over; the results say what that means for whom
	}
	for i, r := range results {
		fmt.Printf("%s: %s: %v\n", to[i].Address, r.Phase, r.Reply)
	}
	// Output:
	// somebody@example.org: body: 250 2.0.0 taken, 26 octets
	// nobody@example.org: rcpt: 550 5.1.1 no such user
}

// A client keeps its session from one message to the next.
func ExampleClient() {
	server := smtptest.NewServer(nil)
	defer server.Close()

	client := smtpclient.NewClient([]string{server.Addr}, &smtpclient.Options{LocalName: "client.example.com"})
	defer client.Close()
	for _, address := range []string{"ann@example.org", "bob@example.org"} {
		e := &smtpclient.Envelope{From: "me@example.com", To: []smtpclient.Recipient{{Address: address}}}
		results, err := client.Send(context.Background(), e, strings.NewReader("Subject: Hello\r\n\r\nHello.\r\n"))
		if err != nil {
			log.Print(err) // the next message goes on a new session
		}
		fmt.Printf("%s: %v\n", address, results[0].Reply)
	}
	connections, _, _ := server.Connections()
	fmt.Println("connections:", connections)
	// Output:
	// ann@example.org: 250 2.0.0 taken, 26 octets
	// bob@example.org: 250 2.0.0 taken, 26 octets
	// connections: 1
}

// A dial function decides how a connection is made, such as through a SOCKS proxy.
func ExampleOptions_dial() {
	server := smtptest.NewServer(nil)
	defer server.Close()
	socks := startProxy(server.Addr)
	defer socks.Close()

	dialer, err := proxy.SOCKS5("tcp", socks.Addr().String(), nil, proxy.Direct)
	if err != nil {
		log.Fatal(err)
	}
	session, err := smtpclient.Dial(context.Background(), "192.0.2.1:25", &smtpclient.Options{
		ServerName: "mx.example.org",
		Dial:       dialer.(proxy.ContextDialer).DialContext,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("connected to", session.Host())
	session.Close()
	// Output:
	// the proxy connects to 192.0.2.1:25
	// connected to mx.example.org
}

// Token returns an access token when one is needed. An oauth2.TokenSource keeps one and renews it in time.
func ExampleCredentials_token() {
	server := &smtptest.Server{
		StartTLS:   true,
		Users:      map[string]string{"me@example.com": "ya29.token"},
		Mechanisms: []string{"XOAUTH2", "PLAIN"},
	}
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	session, err := smtpclient.Dial(context.Background(), server.Addr, &smtpclient.Options{
		TLS:       smtpclient.VerifiedTLS,
		TLSConfig: &tls.Config{RootCAs: server.RootCAs()},
		Auth: &smtpclient.Credentials{
			Username: "me@example.com",
			Token: func(ctx context.Context) (string, error) {
				fmt.Println("a token is needed")
				return "ya29.token", nil // token, err := source.Token(); return token.AccessToken, err
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	fmt.Println(lastLines(session.Transcript(), 2))
	// Output:
	// a token is needed
	// C: AUTH XOAUTH2 ***
	// S: 235 2.7.0 welcome
}

// A host has several addresses, and one of them leads nowhere.
func ExampleDialAny() {
	server := smtptest.NewServer(nil)
	defer server.Close()

	session, err := smtpclient.DialAny(context.Background(), []string{"127.0.0.1:1", server.Addr}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(session.Addr() == server.Addr)
	session.Close()
	// Output:
	// true
}

// A session's own transcript reads like those in testdata.
func ExampleSession_Transcript() {
	server := &smtptest.Server{Extensions: []string{"PIPELINING"}}
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	session, err := smtpclient.Dial(context.Background(), server.Addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	e := &smtpclient.Envelope{From: "me@example.com", To: []smtpclient.Recipient{{Address: "you@example.org"}}}
	if _, err := session.Send(context.Background(), e, strings.NewReader("Subject: Hello\r\n\r\nHello.\r\n")); err != nil {
		log.Fatal(err)
	}
	fmt.Print(session.Transcript())
	// Output:
	// S: 220 mail.test ESMTP
	// C: EHLO localhost
	// S: 250-mail.test
	// S: 250 PIPELINING
	// C: MAIL FROM:<me@example.com>
	// C: RCPT TO:<you@example.org>
	// C: DATA
	// S: 250 2.1.0 sender ok
	// S: 250 2.1.5 recipient ok
	// S: 354 go ahead
	// C: ...
	// C: .
	// S: 250 2.0.0 taken, 26 octets
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Many messages for one server go out without waiting for each other.
func ExampleSession_SendAll() {
	server := smtptest.NewServer(nil)
	defer server.Close()

	ctx := context.Background()
	session, err := smtpclient.Dial(ctx, server.Addr, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()

	names := []string{"ann", "bob", "eve"}
	messages := func(yield func(*smtpclient.Envelope, io.Reader) bool) {
		for _, name := range names {
			to := []smtpclient.Recipient{{Address: name + "@example.org"}}
			if !yield(&smtpclient.Envelope{From: "me@example.com", To: to}, strings.NewReader("Subject: Hello\r\n\r\nHello "+name+".\r\n")) {
				return
			}
		}
	}
	i := 0
	for results, err := range session.SendAll(ctx, messages) {
		if err != nil {
			log.Print(err) // the session is over: the rest of names has to go on another one
		}
		fmt.Printf("%s: %v\n", names[i], results[0].Reply)
		i++
	}
	// Output:
	// ann: 250 2.0.0 taken, 30 octets
	// bob: 250 2.0.0 taken, 30 octets
	// eve: 250 2.0.0 taken, 30 octets
}
