package boltqueue_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
)

// newsletter is message n of a mailing.
func newsletter(n int) *queue.Entry {
	id := queue.ID(fmt.Sprintf("newsletter-%d", n))
	body := fmt.Sprintf("Subject: News\r\n\r\nHello, reader %d!\r\n", n)
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	return &queue.Entry{
		Message: queue.Message{
			ID:      id,
			From:    "news@example.org",
			Digest:  sha256.Sum256([]byte(body)),
			Expires: now.Add(5 * 24 * time.Hour),
		},
		Jobs: []*queue.Job{{
			Key:        queue.Key{ID: id},
			Domain:     "example.com",
			Recipients: []queue.Recipient{{Address: fmt.Sprintf("reader%d@example.com", n)}},
			Due:        now,
		}},
		Body: strings.NewReader(body),
	}
}

// A queue that may grow to ten messages, or a gigabyte, says when it is nearly full, and when it is.
func ExampleOptions() {
	dir, err := os.MkdirTemp("", "boltqueue")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	filling := make(chan boltqueue.Filling, 1)
	q, err := boltqueue.Open(filepath.Join(dir, "mail.db"), boltqueue.Options{
		MaxMessages: 10,
		MaxBytes:    1 << 30,
		Observe: func(e boltqueue.Event) {
			if f, ok := e.(boltqueue.Filling); ok && f.Limit == "MaxMessages" {
				filling <- f
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer q.Close()
	for n := 1; ; n++ {
		_, err := q.Enqueue(context.Background(), newsletter(n))
		if errors.Is(err, queue.ErrFull) {
			fmt.Println("no room for message", n)
			break
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	f := <-filling
	fmt.Println("warned at", f.Used, "of", f.Max)
	// Output:
	// no room for message 11
	// warned at 8 of 10
}

// A backup is made while the queue is in use, and opened like any other queue.
func ExampleQueue_WriteTo() {
	dir, err := os.MkdirTemp("", "boltqueue")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	q, err := boltqueue.Open(filepath.Join(dir, "mail.db"), boltqueue.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer q.Close()
	if _, err := q.Enqueue(context.Background(), newsletter(1)); err != nil {
		log.Fatal(err)
	}

	name := filepath.Join(dir, "backup.db")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := q.WriteTo(f); err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		log.Fatal(err)
	}

	backup, err := boltqueue.Open(name, boltqueue.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer backup.Close()
	for j, err := range backup.Jobs(context.Background(), queue.Filter{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(j.Key, j.Recipients[0].Address)
	}
	// Output: newsletter-1/0 reader1@example.com
}
