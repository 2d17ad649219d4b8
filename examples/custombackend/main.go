// Custombackend is a queue backend of one's own: a folder of files. folder.go stores, select.go finds, and the test runs the
// conformance suite on both.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/postroad/postroad/queue"
)

func main() {
	dir, err := os.MkdirTemp("", "postroad-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := run(context.Background(), dir); err != nil {
		log.Fatal(err)
	}
}

// run enqueues a message, claims its job, and commits that it was delivered.
func run(ctx context.Context, dir string) error {
	q, err := OpenFolder(dir)
	if err != nil {
		return err
	}
	now := time.Now()
	id, err := queue.NewID(now, rand.Reader)
	if err != nil {
		return err
	}
	body := "Subject: hello\r\n\r\nA message in a folder.\r\n"
	added, err := q.Enqueue(ctx, &queue.Entry{
		Message: queue.Message{
			ID: id, From: "sender@example.org", Digest: sha256.Sum256([]byte(body)), Enqueued: now, Expires: now.Add(time.Hour),
		},
		Jobs: []*queue.Job{{
			Key: queue.Key{ID: id}, Domain: "example.com", Due: now, Recipients: []queue.Recipient{{Address: "you@example.com"}},
		}},
		Body: strings.NewReader(body),
	})
	if err != nil {
		return err
	}
	fmt.Printf("enqueued %s, added: %t\n", id, added)

	claimed, err := q.Claim(ctx, queue.ClaimRequest{Now: now, Lease: time.Minute, Limit: 10})
	if err != nil {
		return err
	}
	for _, j := range claimed.Jobs {
		fmt.Printf("claimed %s for %s until %s\n", j.Key, j.Domain, j.Leased.Format(time.TimeOnly))
		j.Recipients[0].State, j.Finished = queue.Delivered, now
		if err := q.Commit(ctx, j); err != nil {
			return err
		}
	}
	for j, err := range q.Jobs(ctx, queue.Filter{Ended: true}) {
		if err != nil {
			return err
		}
		fmt.Printf("%s to %s is %v\n", j.Key, j.Recipients[0].Address, j.Recipients[0].State)
	}
	return nil
}
