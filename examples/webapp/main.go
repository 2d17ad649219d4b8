// Webapp is a small shop whose orders and receipts are one transaction: both are there or none is, whatever fails and whenever the
// process is killed. It needs a PostgreSQL, in which it makes the schemas shop and postroad:
//
//	POSTROAD_DATABASE_URL=postgres://localhost/test go run ./examples/webapp
//
// and go to http://localhost:8080. A card whose number ends in 0 is declined, and leaves neither an order nor a receipt. Start several,
// with another -listen each: they share the queue.
//
// Without -relay the receipts go to a mail server within the program, which takes everything. With -relay smtp://localhost:1025 they
// go there.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue/pgqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

func main() {
	database := flag.String("database", os.Getenv("POSTROAD_DATABASE_URL"), "`URL` of a PostgreSQL; defaults to $POSTROAD_DATABASE_URL")
	relay := flag.String("relay", "", "`URL` of the server that takes the mail")
	listen := flag.String("listen", "localhost:8080", "`address` of the web server")
	flag.Parse()
	if *database == "" {
		log.Fatal("webapp needs a PostgreSQL: set POSTROAD_DATABASE_URL, or give -database postgres://...")
	}
	sink := &smtptest.Server{}
	if *relay == "" {
		if err := sink.Start(); err != nil {
			log.Fatal(err)
		}
		*relay = "smtp://" + sink.Addr
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	l, err := net.Listen("tcp", *listen)
	if err == nil {
		log.Printf("http://%s", l.Addr())
		err = run(ctx, *database, *relay, l)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// run sells to whom l brings, and sends receipts, until ctx ends or a part of it fails, which ends all.
func run(ctx context.Context, database, relay string, l net.Listener) error {
	s, err := openShop(ctx, database, relay)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer s.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 3)
	go func() { ended <- s.sender.Run(ctx) }() // delivers until ctx ends, then drains
	go func() { ended <- s.follow(ctx) }()
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { ended <- server.Serve(l) }()
	for range cap(ended) {
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) && !errors.Is(e, context.Canceled) {
			err = errors.Join(err, e)
		}
		cancel()
		err = errors.Join(err, server.Shutdown(context.Background()))
	}
	return err
}

// openShop opens the shop and its queue in a database.
func openShop(ctx context.Context, database, relay string) (*shop, error) {
	router, err := mx.ParseRelay(relay)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.New(ctx, database)
	if err != nil {
		return nil, err
	}
	s := &shop{pool: pool}
	if _, err = pool.Exec(ctx, tables); err == nil {
		s.queue, err = pgqueue.Open(ctx, pool, pgqueue.Options{})
	}
	if err == nil {
		s.sender, err = delivery.New(s.queue, delivery.Config{Hostname: "shop.example", Router: router})
	}
	if err != nil {
		s.close()
	}
	return s, err
}
