package delivery_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue/memqueue"
)

// A campaign that draws complaints is stopped: what is in the queue, and what is still being enqueued. Everything else goes on.
func ExampleSender_Pause() {
	sender, err := delivery.New(memqueue.New(), delivery.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	campaign := delivery.Selector{Label: "spring sale"}
	if err := sender.Pause(ctx, campaign, time.Time{}, "wrong prices"); err != nil {
		log.Fatal(err)
	}
	rules, err := sender.Rules(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range rules {
		fmt.Printf("paused: %v (%s)\n", r.Selector, r.Why)
	}
	if err := sender.Resume(ctx, campaign); err != nil { // or sender.Withdraw(ctx, campaign) before
		log.Fatal(err)
	}
	rules, err = sender.Rules(ctx)
	fmt.Println(len(rules), "rules left", err)
	// Output:
	// paused: label=spring sale (wrong prices)
	// 0 rules left <nil>
}

// While a partner's own hosts are down, their mail goes through a relay. Whoever lists the rules sees no password.
func ExampleSender_Reroute() {
	sender, err := delivery.New(memqueue.New(), delivery.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	partner := delivery.Selector{Domain: "partner.example"}
	if err := sender.Reroute(ctx, partner, "smtps://shop:secret@relay.example"); err != nil {
		log.Fatal(err)
	}
	if _, err := sender.Flush(ctx, partner); err != nil { // what waits for its next attempt goes now
		log.Fatal(err)
	}
	rules, err := sender.Rules(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rules[0].Selector, "via", rules[0].Via)
	fmt.Println(sender.Reroute(ctx, partner, "")) // and back
	// Output:
	// domain=partner.example via smtps://shop:xxxxx@relay.example
	// <nil>
}

// A receiver has called: no more than two connections, and a message a second. That holds at once, and after a restart.
func ExampleSender_SetLimits() {
	sender, err := delivery.New(memqueue.New(), delivery.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	gentle := shaping.Limits{Connections: 2, MessageRate: shaping.Rate{N: 1, Per: time.Second}}
	fmt.Println(sender.SetLimits(ctx, "mx.partner.example", gentle))
	fmt.Println(sender.SetLimits(ctx, "mx.partner.example", shaping.Limits{})) // as it was
	// Output:
	// <nil>
	// <nil>
}
