// Bench measures how fast mail goes in and out: through a Sender in this process, or through any mail server.
//
//	go run ./examples/bench -messages 20000 -size 10240 -domains 100 -concurrency 256 -queue bolt
//
// It enqueues messages from many callers while a Sender delivers them to a sink in another process, which counts them, and
// prints one JSON object. All of that is on loopback. With -sink the messages go to a server that is there already; if
// that isn't one of this program's (-serve), what arrives is taken from what the Sender says, and an arrival is a commit.
//
// Each -mode answers one question, in one run:
//
//	steady   what do accepting and delivering cost together?
//	accept   how much of the rate of accepting alone is that, and how fast is a single domain?
//	drain    how fast is a queue of 100,000 messages drained, beside the steady rate?
//	latency  how long does a message take through an idle system, beside a bare commit?
//	dead     what do 10,000 dead domains, with 100 messages each, cost 10 live ones?
//	depth    what do 1,000 to 1,000,000 messages that wait cost, in rate and memory?
//	sink     how much does the sink take? It must not be what limits the others.
//	relay    how does examples/relay compare with Postfix, both with the same load, sink and disk?
//	river    how does a queue in PostgreSQL compare with River and go-mail, both with the same load, sink and database?
//
// Modes that compare take turns, -rounds times, and print the round in the middle. The name of each figure ends in its unit; a ratio
// is named for its two sides. How many messages drain, dead and depth have in the queue is for -depth to say.
//
// With -target the messages go by SMTP to a mail server that sends everything on to -sink. Of a server whose -pid is given,
// processor time and memory are measured, too, with those of its children:
//
//	go run ./examples/bench -serve 127.0.0.1:2600 &
//	go run ./examples/relay -relay smtp://127.0.0.1:2600 -listen 127.0.0.1:2525 &
//	go run ./examples/bench -sink 127.0.0.1:2600 -target 127.0.0.1:2525
//
// Mode relay does so with two servers that it starts and ends. It needs Postfix to be installed, and root to run it.
//
// With -queue postgres: the queue is in a PostgreSQL that is installed here, and started for this run in a folder of its own: with
// fsync, 512 MB of shared buffers, and 16 connections. Mode river does so by itself. What it compares with is in the folder
// river, a module of its own, so that neither River nor its dependencies are the library's:
//
//	go run ./examples/bench -queue postgres: -concurrency 16
//	go run ./examples/bench -mode river -messages 20000 -rounds 3
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	o, err := parseOptions(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures what o says and prints the figures to out. What went wrong on the way goes to warn.
func run(ctx context.Context, o *options, out, warn io.Writer) error {
	if o.serve != "" {
		return serveSink(ctx, o.serve, out)
	}
	b, err := newBench(o, warn)
	if err != nil {
		return err
	}
	defer b.close()
	measure := modes[o.mode]
	if o.target != "" {
		measure = (*bench).target
	}
	var result any
	err = profiled(o, func() (err error) {
		result, err = measure(b, ctx)
		return err
	})
	if err != nil {
		return err
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(result)
}

// profiled calls f and writes the profiles that are asked for.
func profiled(o *options, f func() error) error {
	if o.cpuProfile != "" {
		w, err := os.Create(o.cpuProfile)
		if err != nil {
			return err
		}
		defer w.Close()
		if err := pprof.StartCPUProfile(w); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	err := f()
	if o.memProfile != "" && err == nil {
		w, err := os.Create(o.memProfile)
		if err != nil {
			return err
		}
		defer w.Close()
		runtime.GC()
		return pprof.Lookup("allocs").WriteTo(w, 0)
	}
	return err
}
