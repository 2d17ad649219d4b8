package smtpclient_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"strings"

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

// A dial function decides how a connection is made: through a proxy, from a certain address, or, in a test, to a server of
// its own.
func ExampleOptions_dial() {
	server := smtptest.NewServer(nil)
	defer server.Close()

	session, err := smtpclient.Dial(context.Background(), "192.0.2.1:25", &smtpclient.Options{
		ServerName: "mx.example.org",
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			fmt.Println("dial", address)
			from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
			return from.DialContext(ctx, network, server.Addr)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("connected to", session.Host())
	session.Close()
	// Output:
	// dial 192.0.2.1:25
	// connected to mx.example.org
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
