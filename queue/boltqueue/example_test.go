package boltqueue_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
)

// A message is enqueued, the process ends, and the next one finds it.
func Example() {
	dir, err := os.MkdirTemp("", "boltqueue")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "mail.db")
	ctx := context.Background()
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

	q, err := boltqueue.Open(path, boltqueue.Options{})
	if err != nil {
		log.Fatal(err)
	}
	body := "Subject: Hello\r\n\r\nHello!\r\n"
	_, err = q.Enqueue(ctx, &queue.Entry{
		Message: queue.Message{
			ID:      "hello-1",
			From:    "alice@example.org",
			Digest:  sha256.Sum256([]byte(body)),
			Expires: now.Add(5 * 24 * time.Hour),
		},
		Jobs: []*queue.Job{{
			Key:        queue.Key{ID: "hello-1"},
			Domain:     "example.com",
			Recipients: []queue.Recipient{{Address: "bob@example.com"}},
			Due:        now,
		}},
		Body: strings.NewReader(body),
	})
	if err != nil {
		log.Fatal(err) // the message is not queued
	}
	if err := q.Close(); err != nil {
		log.Fatal(err)
	}

	q, err = boltqueue.Open(path, boltqueue.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer q.Close()
	claimed, err := q.Claim(ctx, queue.ClaimRequest{Now: now, Lease: time.Hour, Limit: 10})
	if err != nil {
		log.Fatal(err)
	}
	for _, j := range claimed.Jobs {
		r, err := q.Open(ctx, j.Key.ID)
		if err != nil {
			log.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(j.Key, j.Recipients[0].Address, len(b), "octets")
		j.Recipients[0].State, j.Finished = queue.Delivered, now
		if err := q.Commit(ctx, j); err != nil {
			log.Fatal(err)
		}
	}
	// Output: hello-1/0 bob@example.com 26 octets
}
