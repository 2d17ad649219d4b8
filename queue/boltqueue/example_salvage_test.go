package boltqueue_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
)

// A file that is damaged is looked at, and what can be read of it becomes a new queue.
func ExampleSalvage() {
	dir, err := os.MkdirTemp("", "queue")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	damaged, salvaged := filepath.Join(dir, "mail.db"), filepath.Join(dir, "new.db")
	damage(damaged)

	report := func(problem string) { fmt.Println(problem) }
	if err := boltqueue.Check(damaged, report); err != nil {
		log.Fatal(err)
	}
	found, err := boltqueue.Salvage(damaged, salvaged, func(string) {})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("messages:", found.Messages, "lost:", found.Lost)
	// Output:
	// notes: queue: damaged: wrong checksum at "paused"
	// messages: 1 lost: 0
}

// damage makes a queue with a message and a note, of which an octet changes.
func damage(path string) {
	ctx := context.Background()
	q, err := boltqueue.Open(path, boltqueue.Options{})
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now()
	_, err = q.Enqueue(ctx, &queue.Entry{
		Message: queue.Message{ID: "welcome", From: "shop@example.org", Enqueued: now, Expires: now.Add(time.Hour)},
		Jobs: []*queue.Job{{
			Key: queue.Key{ID: "welcome"}, Domain: "example.com", Due: now,
			Recipients: []queue.Recipient{{Address: "customer@example.com"}},
		}},
		Body: strings.NewReader("Subject: Welcome\r\n\r\nHello!\r\n"),
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := q.Set(ctx, "paused", []byte("for maintenance")); err != nil {
		log.Fatal(err)
	}
	if err := q.Close(); err != nil {
		log.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	b = []byte(strings.ReplaceAll(string(b), "maintenance", "maintenancE"))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		log.Fatal(err)
	}
}
