package delivery_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/reversepath"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// A campaign is one message, stored once, whose recipients have reverse-paths of their own: whoever reports a failure, here or
// far away, the address that the report comes to says whose it is. In bodies that are all alike there can be no link that
// unsubscribes one recipient with one click; for that, enqueue a message for each, with the fields of package unsubscribe.
func Example_campaign() {
	server := smtptest.NewServer(func(c smtptest.Command) string { // in place of the internet
		if c.Address == "ben@example.net" {
			return "550 5.1.1 no such user"
		}
		return ""
	})
	defer server.Close()
	relay, err := mx.ParseRelay("smtp://" + server.Addr)
	if err != nil {
		log.Fatal(err)
	}
	sender, err := delivery.New(memqueue.New(), delivery.Config{Hostname: "news.example", Router: relay})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- sender.Run(ctx) }()

	key := []byte("16 random octets") // from where the program keeps its secrets
	readers := []string{"ann@example.org", "ben@example.net"}
	// README begins
	bounces, err := reversepath.New(reversepath.Options{
		Address: "bounces@news.example", // to which comes what is sent to bounces+anything@news.example
		Keys:    [][]byte{key},
	})
	if err != nil {
		log.Fatal(err)
	}
	m := delivery.Message{
		From:     "bounces@news.example",
		Key:      "news/2026-03", // a campaign that is enqueued again after a crash is still one
		Priority: queue.Low,
		Body:     strings.NewReader("From: news@news.example\nTo: readers@news.example\nSubject: News\n\nNone today.\n"),
	}
	for _, address := range readers {
		m.To = append(m.To, delivery.Recipient{Address: address, From: bounces.For(address, time.Now())})
	}
	_, err = sender.Enqueue(ctx, m)
	// README ends
	if err != nil {
		log.Fatal(err)
	}

	// What the program does with mail to its addresses, which here has come to the same server:
	messages, _ := server.Wait(ctx, 2)
	for _, received := range messages {
		if received.From != "" {
			continue // the campaign, on its way to Ann
		}
		failed, err := bounces.Parse(received.To[0].Address, time.Now())
		fmt.Println("a report of failure for", failed.Name, err)
	}
	cancel()
	<-done
	// Output:
	// a report of failure for ben@example.net <nil>
}
