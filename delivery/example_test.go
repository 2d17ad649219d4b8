package delivery_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// A program opens a queue, makes a Sender, runs it for as long as it lives, and enqueues. A real program keeps its mail in
// boltqueue, so that it survives.
func Example() {
	server := smtptest.NewServer(nil) // in place of the internet
	defer server.Close()
	relay, err := mx.ParseRelay("smtp://" + server.Addr)
	if err != nil {
		log.Fatal(err)
	}

	sender, err := delivery.New(memqueue.New(), delivery.Config{Hostname: "app.example", Router: relay})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- sender.Run(ctx) }()

	_, err = sender.Enqueue(ctx, delivery.Message{
		From: "app@app.example",
		To:   delivery.To("ann@example.org"),
		Body: strings.NewReader("From: app@app.example\nTo: ann@example.org\nSubject: Welcome\n\nHello, Ann.\n"),
	})
	if err != nil {
		log.Fatal(err) // not queued
	}

	messages, _ := server.Wait(ctx, 1)
	fmt.Println(messages[0].From, "->", messages[0].To[0].Address)
	cancel()
	fmt.Println(<-done)
	// Output:
	// app@app.example -> ann@example.org
	// <nil>
}

// An Observer hears of each attempt at each recipient, after it has been stored.
func ExampleObserver() {
	server := smtptest.NewServer(func(c smtptest.Command) string {
		if c.Address == "nobody@example.org" {
			return "550 5.1.1 no such user"
		}
		return ""
	})
	defer server.Close()
	relay, err := mx.ParseRelay("smtp://" + server.Addr)
	if err != nil {
		log.Fatal(err)
	}
	outcomes := make(chan string, 2)
	sender, err := delivery.New(memqueue.New(), delivery.Config{
		Router: relay,
		Observer: delivery.ObserverFunc(func(e delivery.Event) {
			if a, ok := e.(delivery.Attempted); ok {
				outcomes <- fmt.Sprintln(a.Recipient, a.Outcome, a.Reply.Code, a.Reply.Text)
			}
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- sender.Run(ctx) }()

	_, err = sender.Enqueue(ctx, delivery.Message{To: delivery.To("nobody@example.org"), Body: strings.NewReader("Subject: Hi\n\n")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(<-outcomes)
	cancel()
	<-done
	// Output:
	// nobody@example.org failed 550 no such user
}

// A Router of one's own, a retry policy and a way to dial are fields of Config.
func ExampleConfig() {
	proxy := func(ctx context.Context, network, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address) // through a tunnel, from a certain address, ...
	}
	internal, err := mx.ParseRelay("smtp://10.0.0.25")
	if err != nil {
		log.Fatal(err)
	}
	sender, err := delivery.New(memqueue.New(), delivery.Config{
		Hostname: "mail.app.example",
		Router: mx.RouterFunc(func(ctx context.Context, domain string) (*mx.Route, error) {
			if strings.HasSuffix(domain, ".corp.example") {
				return internal.Route(ctx, domain)
			}
			return new(mx.Resolver).Route(ctx, domain)
		}),
		Retry: retry.Schedule{time.Minute, 10 * time.Minute, time.Hour},
		Dial:  proxy,
	})
	fmt.Println(sender != nil, err)
	// Output:
	// true <nil>
}

// A key derived from what is sent makes a message that is enqueued twice, after a crash or by a double click, one message.
func ExampleContentKey() {
	sender, err := delivery.New(memqueue.New(), delivery.Config{})
	if err != nil {
		log.Fatal(err)
	}
	to := delivery.To("ann@example.org")
	for range 2 {
		body := "Subject: Your order\n\nThank you.\n"
		key, err := delivery.ContentKey("shop@example.org", to, strings.NewReader(body))
		if err != nil {
			log.Fatal(err)
		}
		receipt, err := sender.Enqueue(context.Background(), delivery.Message{
			From: "shop@example.org", To: to, Key: key, Body: strings.NewReader(body),
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("duplicate:", receipt.Duplicate)
	}
	// Output:
	// duplicate: false
	// duplicate: true
}
