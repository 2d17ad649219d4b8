package pgqueue_test

import (
	"context"
	"log"
	"os/signal"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue/pgqueue"
)

// A Sender works on a queue in PostgreSQL.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	pool, err := pgxpool.New(ctx, "postgres://mailer@db.example.com/shop?pool_max_conns=20")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	q, err := pgqueue.Open(ctx, pool, pgqueue.Options{Schema: "mail"})
	if err != nil {
		log.Fatal(err)
	}
	defer q.Close()
	sender, err := delivery.New(q, delivery.Config{Hostname: "mail.example.org"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := sender.Enqueue(ctx, delivery.Message{
		From: "shop@example.org", To: delivery.To("bob@example.com"), Body: strings.NewReader("Subject: Hello\r\n\r\nHello!\r\n"),
	}); err != nil {
		log.Fatal(err) // it is not queued
	}
	if err := sender.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

// An order and its mail commit together, or not at all.
func ExampleQueue_EnqueueTx() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://shop@db.example.com/shop")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	q, err := pgqueue.Open(ctx, pool, pgqueue.Options{Schema: "mail"})
	if err != nil {
		log.Fatal(err)
	}
	defer q.Close()

	sender, err := delivery.New(q, delivery.Config{Hostname: "mail.example.org"})
	if err != nil {
		log.Fatal(err)
	}

	receipt, err := sender.Prepare(ctx, delivery.Message{
		From: "shop@example.org", To: delivery.To("bob@example.com"), Body: strings.NewReader("Subject: Your order\r\n\r\nThank you!\r\n"),
	})
	if err != nil {
		log.Fatal(err) // such as an address that is none
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO orders (id, item) VALUES ($1, $2)", 7, "a book"); err != nil {
			return err
		}
		_, err := q.EnqueueTx(ctx, tx, receipt)
		return err
	})
	if err != nil {
		log.Fatal(err) // there is no order, and nobody is thanked for one
	}
}
