package delivery_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

// A site that has asked for it gets fewer connections and messages, and nobody gets more than is said.
func ExampleConfig_shaping() {
	sender, err := delivery.New(memqueue.New(), delivery.Config{
		Shaping: shaping.Policy{
			Default: shaping.Limits{Connections: 10},
			Sites: map[string]shaping.Limits{
				"mx.partner.example": {Connections: 2, MessageRate: shaping.Rate{N: 100, Per: time.Minute}},
			},
			Tenants: map[string]shaping.Tenant{"newsletter": {Weight: 0.2}},
		},
	})
	fmt.Println(sender != nil, err)
	// Output:
	// true <nil>
}

// Mail of one kind goes out from one address, and everything else from another.
func ExampleSource() {
	sender, err := delivery.New(memqueue.New(), delivery.Config{
		Sources: []delivery.Source{
			{Name: "orders", Hostname: "mail1.shop.example", Addr4: netip.MustParseAddr("192.0.2.1")},
			{Name: "news", Hostname: "mail2.shop.example", Addr4: netip.MustParseAddr("192.0.2.2")},
		},
		Source: func(m *queue.Message, domain string) string {
			if m.Priority == queue.Low {
				return "news"
			}
			return "orders"
		},
	})
	fmt.Println(sender != nil, err)
	// Output:
	// true <nil>
}

// Whoever may not send twice what moves money holds it, and tries everything else again.
func ExampleUncertainDelivery() {
	sender, err := delivery.New(memqueue.New(), delivery.Config{
		OnUncertain: func(ctx context.Context, d delivery.UncertainDelivery) delivery.UncertainAction {
			if strings.HasPrefix(d.Message.From, "payments@") {
				log.Printf("%s may or may not have reached %v", d.Key, d.Recipients)
				return delivery.HoldUncertain
			}
			return delivery.RetryUncertain
		},
	})
	fmt.Println(sender != nil, err)
	// Output:
	// true <nil>
}
