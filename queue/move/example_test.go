package move_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/queue/move"
)

// What waits in one queue goes to another, of whatever kind.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "move")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	from, err := boltqueue.Open(filepath.Join(dir, "mail.db"), boltqueue.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer from.Close()
	to := memqueue.New()

	now := time.Now()
	_, err = from.Enqueue(ctx, &queue.Entry{
		Message: queue.Message{ID: "receipt-17", Enqueued: now, Expires: now.Add(time.Hour)},
		Jobs: []*queue.Job{{
			Key: queue.Key{ID: "receipt-17"}, Domain: "example.com", Due: now, Recipients: []queue.Recipient{{Address: "ann@example.com"}},
		}},
		Body: strings.NewReader("Subject: Your receipt\r\n\r\nThank you.\r\n"),
	})
	if err != nil {
		log.Fatal(err)
	}

	moved, err := move.All(ctx, from, to, move.Options{})
	if errors.Is(err, move.ErrInUse) {
		log.Fatal("stop the Sender first: ", err)
	} else if err != nil {
		log.Fatal(err) // to be repeated
	}
	fmt.Println("moved:", moved.Unfinished)
	for j, err := range to.Jobs(ctx, queue.Filter{}) {
		fmt.Println(j.Key, j.Recipients[0].Address, err)
	}
	// Output:
	// moved: 1
	// receipt-17/0 ann@example.com <nil>
}
