package dkim_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/dkim"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// A Sender signs what it sends with an RSA key, which every receiver knows, and an Ed25519 key.
func ExampleNew() {
	server := smtptest.NewServer(nil) // in place of the internet
	defer server.Close()
	relay, err := mx.ParseRelay("smtp://" + server.Addr)
	if err != nil {
		log.Fatal(err)
	}

	var keys []dkim.Key
	for _, selector := range []string{"rsa2048", "ed25519"} {
		text, err := os.ReadFile("testdata/" + selector + ".pem")
		if err != nil {
			log.Fatal(err)
		}
		key, err := dkim.ParseKey(text)
		if err != nil {
			log.Fatal(err)
		}
		keys = append(keys, dkim.Key{Domain: "example.com", Selector: selector, Signer: key})
	}
	signer, err := dkim.New(dkim.Config{Keys: keys})
	if err != nil {
		log.Fatal(err)
	}
	sender, err := delivery.New(memqueue.New(), delivery.Config{Router: relay, Signer: signer})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- sender.Run(ctx) }()

	_, err = sender.Enqueue(ctx, delivery.Message{
		From: "ann@example.com",
		To:   delivery.To("bob@example.org"),
		Body: strings.NewReader("From: Ann <ann@example.com>\nTo: bob@example.org\nSubject: Lunch\n\nHello, Bob.\n"),
	})
	if err != nil {
		log.Fatal(err)
	}
	messages, _ := server.Wait(ctx, 1)
	fmt.Println(strings.Count(string(messages[0].Data), "DKIM-Signature:"), "signatures")
	cancel()
	<-done
	// Output:
	// 2 signatures
}

// The record of a key is published before the key is used.
func ExampleKey_Record() {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	name, value, err := dkim.Key{Domain: "example.com", Selector: "2027a", Signer: private}.Record()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(name)
	fmt.Println(value[:len("v=DKIM1; k=ed25519; p=")])
	// Output:
	// 2027a._domainkey.example.com
	// v=DKIM1; k=ed25519; p=
}

// A new key takes over in January: for a week both sign, so that nobody depends on how fast the new record has spread.
func ExampleKey_rotation() {
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	_, next, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	january := time.Date(2100, time.January, 1, 0, 0, 0, 0, time.UTC)
	signer, err := dkim.New(dkim.Config{Keys: []dkim.Key{
		{Domain: "example.com", Selector: "2099", Signer: old, NotAfter: january.AddDate(0, 0, 7)},
		{Domain: "example.com", Selector: "2100", Signer: next, NotBefore: january},
	}})
	if err != nil {
		log.Fatal(err)
	}
	signature, err := signer.Sign([]byte("From: Ann <ann@example.com>\r\nSubject: Lunch\r\n"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(signature, "Hello, Bob.\r\n")
	fields, err := signature.Fields()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Contains(string(fields), "s=2099;"), strings.Contains(string(fields), "s=2100;"))
	// Output:
	// true false
}
