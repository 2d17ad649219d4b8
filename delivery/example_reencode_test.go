package delivery_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue/memqueue"
)

// A template engine has put all of its HTML on one line, which is longer than mail may have them, and has not thought of ASCII.
func ExampleMessage_reencode() {
	q := memqueue.New()
	sender, err := delivery.New(q, delivery.Config{Hostname: "app.example"})
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := sender.Enqueue(context.Background(), delivery.Message{
		To:       delivery.To("ann@example.org"),
		Body:     strings.NewReader("Subject: Grüße\nContent-Type: text/html; charset=utf-8\n\n<p>" + strings.Repeat("schön ", 1000) + "</p>\n"),
		Reencode: true,
	})
	if err != nil {
		log.Fatal(err)
	}

	stored, err := q.Open(context.Background(), receipt.ID)
	if err != nil {
		log.Fatal(err)
	}
	defer stored.Close()
	octets, _ := io.ReadAll(stored)
	lines := strings.Split(string(octets), "\r\n")
	for _, i := range []int{2, 3, 7, 9} {
		fmt.Println(lines[i])
	}
	// Output:
	// Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
	// Content-Type: text/html; charset=utf-8
	// Content-Transfer-Encoding: quoted-printable
	// <p>sch=C3=B6n sch=C3=B6n sch=C3=B6n sch=C3=B6n sch=C3=B6n sch=C3=B6n sch=C3=
}
