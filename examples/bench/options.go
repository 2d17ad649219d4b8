package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// options are what the command line says.
type options struct {
	mode        string
	messages    int
	size        int
	domains     int
	concurrency int
	queue       string
	sink        string
	target      string
	pid         int
	dir         string
	rounds      int
	depth       int
	total       int
	serve       string
	cpuProfile  string
	memProfile  string
}

// parseOptions reads the command line. Asked for help it writes that to w, and returns flag.ErrHelp.
func parseOptions(args []string, w io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are the caller's to print
	flags.StringVar(&o.mode, "mode", "steady", "what to measure: "+strings.Join(modeNames(), ", "))
	flags.IntVar(&o.messages, "messages", 20000, "`number` of messages")
	flags.IntVar(&o.size, "size", 10240, "`octets` of a message")
	flags.IntVar(&o.domains, "domains", 100, "`number` of domains, each a site of its own")
	flags.IntVar(&o.concurrency, "concurrency", 0, "`number` of callers of Enqueue (default 256, in mode river 16), or of connections to a mail server (default 50: more make Postfix slower)")
	flags.StringVar(&o.queue, "queue", "", "`kind` of queue: bolt (the default), mem, or the address of a PostgreSQL database (postgres://...), in which queues have schemas of their own while they are used; postgres: alone is a server that is started for that")
	flags.StringVar(&o.sink, "sink", "", "`address` of the server that gets all mail; without it, a sink in another process")
	flags.StringVar(&o.target, "target", "", "`address` of a mail server that gets the messages instead of Enqueue, and sends them on to -sink")
	flags.IntVar(&o.pid, "pid", 0, "`number` of the process that -target is, with its children; without it, what it uses is not known")
	flags.StringVar(&o.dir, "dir", "", "`folder` for queues; without it, that of the system for temporary files")
	flags.IntVar(&o.rounds, "rounds", 3, "`times` to take turns in modes that compare; figures are medians")
	flags.IntVar(&o.depth, "depth", 0, "`number` of messages that wait in the queue in modes drain (default 100000), dead and depth (default 1000000)")
	flags.IntVar(&o.total, "total", 0, "delivery.Config's Concurrency: `connections` of the Sender at once (default the Sender's own; in mode river 100)")
	flags.StringVar(&o.serve, "serve", "", "be a sink at this `address`, and nothing else")
	flags.StringVar(&o.cpuProfile, "cpuprofile", "", "`file` for a profile of processor time")
	flags.StringVar(&o.memProfile, "memprofile", "", "`file` for a profile of allocations")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(w)
		flags.Usage()
		return nil, err
	case err != nil:
		return nil, err
	case flags.NArg() > 0:
		return nil, fmt.Errorf("%q is not a flag", flags.Arg(0))
	}
	o.withDefaults()
	return o, o.check()
}

// withDefaults fills in what depends on the mode.
func (o *options) withDefaults() {
	switch {
	case o.mode == "river":
		o.queue = cmp.Or(o.queue, ownPostgres)
		o.concurrency = cmp.Or(o.concurrency, 16)
		o.total = cmp.Or(o.total, 100)
	case o.mode == "relay" || o.target != "":
		o.concurrency = cmp.Or(o.concurrency, 50)
	}
	o.queue = cmp.Or(o.queue, "bolt")
	o.concurrency = cmp.Or(o.concurrency, 256)
}

func (o *options) check() error {
	for _, n := range []struct {
		name            string
		value, min, max int
	}{
		{"messages", o.messages, 1, maxMessages},
		{"size", o.size, minSize, maxSize},
		{"domains", o.domains, 1, 100_000},
		{"concurrency", o.concurrency, 1, 10_000},
		{"rounds", o.rounds, 1, 100},
		{"depth", o.depth, 0, maxMessages},
		{"pid", o.pid, 0, 1 << 30},
		{"total", o.total, 0, 100_000},
	} {
		if n.value < n.min || n.value > n.max {
			return fmt.Errorf("-%s %d is not from %d to %d", n.name, n.value, n.min, n.max)
		}
	}
	switch {
	case !slices.Contains(modeNames(), o.mode):
		return fmt.Errorf("-mode %q is none of %s", o.mode, strings.Join(modeNames(), ", "))
	case o.queue != "bolt" && o.queue != "mem" && !o.postgres():
		return fmt.Errorf("-queue %q is neither bolt nor mem nor postgres://", o.queue)
	case o.mode == "river" && !o.postgres():
		return fmt.Errorf("-mode river needs a -queue in PostgreSQL, not in %s", o.queue)
	case o.target != "" && o.mode != "steady":
		return fmt.Errorf("-target gets its messages at a steady rate: there is no -mode %s for it", o.mode)
	}
	return nil
}

// postgres reports whether the queue is in PostgreSQL.
func (o *options) postgres() bool {
	return o.queue == ownPostgres || strings.HasPrefix(o.queue, "postgres://") || strings.HasPrefix(o.queue, "postgresql://")
}
