package suppress_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/suppress"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// A List is plugged in, learns beside the Sender, and is told of complaints by the program. A real program keeps it, with its mail,
// in boltqueue.
func Example() {
	server := smtptest.NewServer(nil) // in place of the internet
	defer server.Close()
	relay, err := mx.ParseRelay("smtp://" + server.Addr)
	if err != nil {
		log.Fatal(err)
	}
	q := memqueue.New()
	list := &suppress.List{Notes: q}
	sender, err := delivery.New(q, delivery.Config{Router: relay, Suppressor: list})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- sender.Run(ctx) }()
	go func() { done <- list.Follow(ctx, sender.Outcomes) }()

	err = list.Add(ctx, suppress.Entry{
		Address: "ann@example.org", Reason: suppress.Complaint, Added: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC),
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = sender.Enqueue(ctx, delivery.Message{
		From: "news@app.example", To: delivery.To("ann@example.org"), Body: strings.NewReader("Subject: News\n\nHello, Ann.\n"),
	})
	if err != nil {
		log.Fatal(err)
	}
	for o := range sender.Outcomes(ctx, 0) {
		fmt.Println(o)
		break
	}
	cancel()
	fmt.Println(<-done, <-done)
	// Output:
	// ann@example.org: refused: 550 5.7.1 suppressed: complaint (2026-11-02)
	// <nil> <nil>
}

// Who has unsubscribed from the news gets a new password all the same. Who doesn't exist gets nothing.
func ExampleList_exempt() {
	ctx := context.Background()
	list := &suppress.List{
		Notes: memqueue.New(),
		Exempt: func(m *queue.Message, e *suppress.Entry) bool {
			return e.Reason == suppress.Unsubscribed && slices.Contains(m.Labels, "account")
		},
	}
	day := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	for _, e := range []suppress.Entry{
		{Address: "ann@example.org", Reason: suppress.Unsubscribed, Added: day},
		{Address: "ben@example.org", Reason: suppress.NoSuchUser, Added: day},
	} {
		if err := list.Add(ctx, e); err != nil {
			log.Fatal(err)
		}
	}
	for _, label := range []string{"news", "account"} {
		why, err := list.Suppressed(ctx, &queue.Message{Labels: []string{label}}, []string{"ann@example.org", "ben@example.org"})
		fmt.Println(label, why, err)
	}
	// Output:
	// news map[ann@example.org:unsubscribed (2026-11-02) ben@example.org:no such user (2026-11-02)] <nil>
	// account map[ben@example.org:no such user (2026-11-02)] <nil>
}

// A list that another system has kept is read in.
func ExampleList_Import() {
	ctx := context.Background()
	list := &suppress.List{Notes: memqueue.New()}
	n, err := list.Import(ctx, strings.NewReader(`# from the old system
address,reason,added
ann@example.org,complaint,2026-03-01
example.net,no such domain,2026-04-01
`))
	fmt.Println(n, err)
	if err := list.Export(ctx, os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 2 <nil>
	// address,tenant,reason,added,expires,text
	// ann@example.org,,complaint,2026-03-01T00:00:00Z,,
	// example.net,,no such domain,2026-04-01T00:00:00Z,,
}

// A report of failure that has come by mail teaches what a reply would have.
func ExampleList_Learn() {
	ctx := context.Background()
	list := &suppress.List{Notes: memqueue.New()}
	err := list.Learn(ctx, "", time.Now(), &queue.Recipient{
		Address: "ann@example.org", State: queue.Bounced,
		Reply: queue.Reply{Phase: "rcpt", Code: 550, Enhanced: "5.1.1", Text: "user unknown"},
	})
	if err != nil {
		log.Fatal(err)
	}
	e, found, err := list.Get(ctx, "", "Ann@example.org")
	fmt.Println(e.Reason, "-", e.Text, found, err)
	// Output:
	// no such user - 550 5.1.1 user unknown true <nil>
}
