package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// database stands for the program's own. What it stores in one transaction is, here, a file that is replaced as a whole; in SQL it
// would be
//
//	BEGIN;
//	UPDATE users SET mail_fails = $1 WHERE address = $2;
//	UPDATE cursors SET mark = $3 WHERE name = 'outcomes';
//	COMMIT;
type database struct {
	path   string
	Cursor queue.Mark        // of the last outcome that Fails knows of
	Fails  map[string]string // why mail to an address has failed last
}

func openDatabase(path string) (*database, error) {
	db := &database{path: path, Fails: map[string]string{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return db, nil
	}
	if err != nil {
		return nil, err
	}
	return db, json.Unmarshal(b, db)
}

// mark stores what an outcome says of a user's address, and that it has been read.
func (db *database) mark(o delivery.Outcome) error {
	switch o.Recipient.State {
	case queue.Delivered:
		delete(db.Fails, o.Recipient.Address)
	case queue.Bounced:
		db.Fails[o.Recipient.Address] = o.Recipient.Reply.Text
	}
	db.Cursor = o.Mark
	b, err := json.Marshal(db)
	if err != nil {
		return err
	}
	if err := os.WriteFile(db.path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(db.path+".new", db.path)
}

// A program marks addresses of its users that mail doesn't reach. Since the cursor is stored in the same transaction, no kill makes
// it miss one: the next process goes on behind the last one that is marked.
func ExampleSender_Outcomes() {
	server := smtptest.NewServer(func(c smtptest.Command) string {
		if c.Address == "ann@old.example" {
			return "550 5.1.1 no such user"
		}
		return ""
	})
	defer server.Close()
	relay, err := mx.ParseRelay("smtp://" + server.Addr)
	if err != nil {
		log.Fatal(err)
	}
	sender, err := delivery.New(memqueue.New(), delivery.Config{Router: relay})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error)
	go func() { done <- sender.Run(ctx) }()
	for _, to := range []string{"ann@old.example", "ben@new.example"} {
		_, err := sender.Enqueue(ctx, delivery.Message{To: delivery.To(to), Body: strings.NewReader("Subject: Hi\n\n")})
		if err != nil {
			log.Fatal(err)
		}
	}

	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := openDatabase(filepath.Join(dir, "users.json"))
	if err != nil {
		log.Fatal(err)
	}
	read := 0
	for o, err := range sender.Outcomes(ctx, db.Cursor) { // waits for more until ctx ends
		if err == nil {
			err = db.mark(o)
		}
		if err != nil {
			log.Fatal(err) // or begin again behind db.Cursor, after a while
		}
		if read++; read == 2 {
			cancel() // or any other way out of the loop
		}
	}
	fmt.Println(db.Fails)
	fmt.Println(<-done)
	// Output:
	// map[ann@old.example:no such user]
	// <nil>
}

// Where is the mail to Ann? The summaries are for people; everything else that is known stands beside them.
func ExampleSender_Find() {
	server := smtptest.NewServer(func(c smtptest.Command) string {
		if c.Verb == "." {
			return "250 2.0.0 Ok: queued as 4ZkQ9x1Yz3"
		}
		return ""
	})
	defer server.Close()
	relay, err := mx.ParseRelay("smtp://" + server.Addr)
	if err != nil {
		log.Fatal(err)
	}
	sender, err := delivery.New(memqueue.New(), delivery.Config{Router: relay})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error)
	go func() { done <- sender.Run(ctx) }()
	_, err = sender.Enqueue(ctx, delivery.Message{To: delivery.To("ann@example.org"), Body: strings.NewReader("Subject: Hi\n\n")})
	if err != nil {
		log.Fatal(err)
	}
	for range sender.Outcomes(ctx, 0) {
		cancel()
	}
	<-done

	for status, err := range sender.Find(context.Background(), queue.Filter{Recipient: "ann@example.org"}) {
		if err != nil {
			log.Fatal(err)
		}
		for _, job := range status.Jobs {
			for _, r := range job.Recipients {
				fmt.Printf("%s: %s; %s has said: %s\n", r.Address, r.State, r.Reply.Host, r.Reply.Text)
			}
			fmt.Printf("attempts: %d, the server calls it %s\n", job.Tries, job.Attempts[0].QueueID)
		}
	}
	// Output:
	// ann@example.org: delivered; 127.0.0.1 has said: Ok: queued as 4ZkQ9x1Yz3
	// attempts: 1, the server calls it 4ZkQ9x1Yz3
}
