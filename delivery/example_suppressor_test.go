package delivery_test

import (
	"context"
	"fmt"
	"log"
	"slices"
	"strings"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

// accounts stands for the program's own database.
type accounts map[string]string

// unsubscribed is one query, however many addresses there are, such as
//
//	SELECT asked.address, u.reason FROM unnest($1::text[]) AS asked (address)
//	JOIN unsubscribed u ON u.address = lower(asked.address)
func (a accounts) unsubscribed(_ context.Context, addresses []string) (map[string]string, error) {
	why := make(map[string]string)
	for _, address := range addresses {
		if reason, found := a[strings.ToLower(address)]; found {
			why[address] = reason
		}
	}
	return why, nil
}

// A program asks its own database whom not to send to. Mail about the account goes to everyone.
func ExampleSuppressorFunc() {
	db := accounts{"ann@example.org": "unsubscribed in May"}
	sender, err := delivery.New(memqueue.New(), delivery.Config{
		Suppressor: delivery.SuppressorFunc(func(ctx context.Context, m *queue.Message, to []string) (map[string]string, error) {
			if slices.Contains(m.Labels, "account") {
				return nil, nil
			}
			return db.unsubscribed(ctx, to)
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- sender.Run(ctx) }()
	_, err = sender.Enqueue(ctx, delivery.Message{
		To: delivery.To("Ann@example.org"), Labels: []string{"news"}, Body: strings.NewReader("Subject: News\n\nHello, Ann.\n"),
	})
	if err != nil {
		log.Fatal(err)
	}
	for o := range sender.Outcomes(ctx, 0) {
		fmt.Println(o)
		break
	}
	cancel()
	fmt.Println(<-done)
	// Output:
	// Ann@example.org: refused: 550 5.7.1 suppressed: unsubscribed in May
	// <nil>
}
