package delivery_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// A metrics package asks for the figures each time that it is asked for them itself. This one writes a few as Prometheus reads
// them.
func ExampleSender_Stats() {
	server := smtptest.NewServer(nil) // in place of the internet
	defer server.Close()
	relay, err := mx.ParseRelay("smtp://" + server.Addr)
	if err != nil {
		log.Fatal(err)
	}
	attempts := make(chan delivery.AttemptOutcome)
	sender, err := delivery.New(memqueue.New(), delivery.Config{
		Router: relay,
		Observer: delivery.ObserverFunc(func(e delivery.Event) {
			if a, ok := e.(delivery.Attempted); ok {
				attempts <- a.Outcome
			}
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- sender.Run(ctx) }()
	_, err = sender.Enqueue(ctx, delivery.Message{To: delivery.To("ann@example.org"), Body: strings.NewReader("Subject: Hi\n\n")})
	if err != nil {
		log.Fatal(err)
	}
	<-attempts

	st, err := sender.Stats(ctx)
	if err != nil {
		log.Print(err) // some figures are missing
	}
	fmt.Printf("mail_delivered_total %d\n", st.Delivered.Total)
	for code, n := range st.Replies {
		fmt.Printf("mail_replies_total{code=\"%d\"} %d\n", code, n)
	}
	fmt.Printf("mail_waiting %d\n", st.Depth.Waiting)
	var below uint64
	for i, bound := range st.Tries.Bounds[:2] {
		below += st.Tries.Counts[i]
		fmt.Printf("mail_tries_bucket{le=\"%g\"} %d\n", bound, below)
	}
	fmt.Printf("mail_tries_bucket{le=\"+Inf\"} %d\n", st.Tries.Total())
	fmt.Printf("mail_tries_sum %g\n", st.Tries.Sum)

	cancel()
	<-done
	// Output:
	// mail_delivered_total 1
	// mail_replies_total{code="250"} 1
	// mail_waiting 0
	// mail_tries_bucket{le="1"} 1
	// mail_tries_bucket{le="2"} 1
	// mail_tries_bucket{le="+Inf"} 1
	// mail_tries_sum 1
}
