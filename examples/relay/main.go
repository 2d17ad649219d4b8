// Relay is a small mail server made of the library: it takes mail from programs on this machine, answers once the message
// is durable, and delivers it to a relay or directly to the hosts of its domains.
//
//	go run ./examples/relay -listen 127.0.0.1:2525 -queue mail.db -hostname mx.example -relay smtp://host:port
//
// SIGTERM or SIGINT ends it in order: it stops listening, lets the messages that are coming in and going out finish, and
// closes the queue. Killed in any other way it loses nothing that it has answered with 250.
//
// The log goes to standard error. With -log json each line is an object, with a msg of its own for each kind of event: start,
// queued, attempt, bounced, held, downgraded, policy, trouble, stop. There is one "attempt" for each attempt and recipient, with id, from, to,
// host, addr (and port), phase, code (0 without an answer), enhanced, text, outcome (delivered, deferred, failed or uncertain)
// and took (nanoseconds). The id is the one of "queued as".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
)

// garbagePercent is GOGC, unless the environment has it. The program keeps little in memory, so that at 100 a few messages are
// reason enough to collect their garbage: under load, that takes an eighth of its processor time. At 220 it is a few hundredths, for
// some 15 MB more.
const garbagePercent = 220

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	o, err := parseOptions(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(2)
	}
	if err := run(ctx, o, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}

// run takes and delivers mail until ctx ends. It logs to w.
func run(ctx context.Context, o *options, w io.Writer) error {
	q, err := boltqueue.Open(o.queue, boltqueue.Options{})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", o.listen)
	if err == nil {
		err = serve(ctx, o, q, l, newLogger(w, o.json))
	}
	return errors.Join(err, q.Close())
}

// serve takes mail from l and delivers it until ctx ends. Then it closes l and waits, in this order, for the messages that are
// coming in, and for those that are going out.
func serve(ctx context.Context, o *options, q queue.Queue, l net.Listener, log *slog.Logger) error {
	config := o.delivery
	config.Observer = observer{log}
	if o.policies {
		sts := withPolicies(config.Router.(*mx.Resolver), q, log)
		defer sts.Close()
		config.Router = sts
	}
	sender, err := delivery.New(q, config)
	if err != nil {
		l.Close()
		return err
	}
	sending, stopSending := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSending()
	sent := make(chan error, 1)
	go func() { sent <- sender.Run(sending) }()

	door := newListener(l, maxConnections)
	server := newServer(sender, o.hostname, o.maxSize, log)
	served := make(chan error, 1)
	go func() { served <- server.Serve(door) }()
	log.Info("start", "listen", l.Addr().String(), "queue", o.queue, "hostname", o.hostname)

	select {
	case <-ctx.Done():
	case err = <-served:
		err = fmt.Errorf("listening: %w", err)
	case err = <-sent:
		sent <- nil
		err = fmt.Errorf("sending: %w", err)
	}
	shutdown(server, door, drainTimeout)
	stopSending()
	err = errors.Join(err, <-sent)
	log.Info("stop")
	return err
}
