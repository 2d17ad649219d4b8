package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue"
)

// tables are the shop's own. The lock is for shops that are opened at the same time.
const tables = `
	SELECT pg_advisory_xact_lock(5710);
	CREATE SCHEMA IF NOT EXISTS shop;
	CREATE TABLE IF NOT EXISTS shop.orders (
		number  text PRIMARY KEY,
		item    text NOT NULL,
		receipt text NOT NULL UNIQUE,    -- the ID of the mail
		mail    text NOT NULL DEFAULT '' -- what became of it
	);
	CREATE TABLE IF NOT EXISTS shop.cursor (mark bigint NOT NULL);
	INSERT INTO shop.cursor SELECT 0 WHERE NOT EXISTS (SELECT FROM shop.cursor)`

type shop struct {
	pool   *pgxpool.Pool
	queue  *pgqueue.Queue
	sender *delivery.Sender
}

func (s *shop) close() {
	if s.queue != nil {
		s.queue.Close()
	}
	s.pool.Close()
}

// buy stores an order and its receipt, takes the money, and commits: if it can't be had, neither is there. The error of a commit may mean
// that its answer got lost. So a real shop gives the number to whoever takes the money, and asks there about numbers without an order.
func (s *shop) buy(ctx context.Context, item, card, email string) (number string, err error) {
	number = rand.Text()[:8]
	// Prepared before the transaction begins: what is wrong with the address shows here.
	receipt, err := s.sender.Prepare(ctx, delivery.Message{
		From: "shop@shop.example",
		To:   delivery.To(email),
		Body: strings.NewReader("From: shop@shop.example\nTo: " + email + "\nSubject: Your order " + number + "\n\nThank you for buying " + item + ".\n"),
	})
	if err != nil {
		return "", err
	}
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return "", err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // does nothing after the commit
	const insert = "INSERT INTO shop.orders (number, item, receipt) VALUES ($1, $2, $3)"
	if _, err := tx.Exec(ctx, insert, number, item, receipt.Message.ID); err != nil {
		return "", err
	}
	if _, err := s.queue.EnqueueTx(ctx, tx, receipt); err != nil {
		return "", err
	}
	if err := pay(card); err != nil {
		return "", err
	}
	return number, tx.Commit(ctx)
}

var errDeclined = errors.New("the card was declined")

// pay stands for whoever takes the money.
func pay(card string) error {
	if strings.HasSuffix(card, "0") {
		return errDeclined
	}
	return nil
}

// order is what a page shows.
type order struct {
	Number, Item, Receipt string
	Mail                  string           // what became of the receipt, "" while that isn't known
	Status                *delivery.Status // of the receipt now; nil a week after its end
}

func (s *shop) order(ctx context.Context, number string) (o order, err error) {
	row := s.pool.QueryRow(ctx, "SELECT number, item, receipt, mail FROM shop.orders WHERE number = $1", number)
	if err := row.Scan(&o.Number, &o.Item, &o.Receipt, &o.Mail); err != nil {
		return o, err
	}
	if o.Status, err = s.sender.Status(ctx, queue.ID(o.Receipt)); errors.Is(err, queue.ErrNotFound) {
		err = nil
	}
	return o, err
}

// follow writes down what became of each receipt, with the mark that says how far it has read: in one transaction, so that each
// outcome is written once. Of several shops on one database each may do so.
func (s *shop) follow(ctx context.Context) error {
	var mark int64
	if err := s.pool.QueryRow(ctx, "SELECT mark FROM shop.cursor").Scan(&mark); err != nil {
		return err
	}
	for o, err := range s.sender.Outcomes(ctx, queue.Mark(mark)) {
		if err != nil {
			return err
		}
		became := fmt.Sprintf("%s, at %s", o, o.Job.Finished.Local().Format(time.DateTime))
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE shop.orders SET mail = $1 WHERE receipt = $2", became, o.Job.Key.ID)
			if err == nil {
				_, err = tx.Exec(ctx, "UPDATE shop.cursor SET mark = greatest(mark, $1)", int64(o.Mark))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
