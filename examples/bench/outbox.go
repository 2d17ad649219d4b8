package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
	"github.com/postroad/postroad/queue/memqueue"
)

// outbox is a queue of its own and the Sender that works on it.
type outbox struct {
	queue   queue.Queue
	sender  *delivery.Sender
	watch   *watch
	dir     string // "" if the queue is in memory or a database
	foreign bool   // the queue is another process's, so its syncs and writes are not known
	close   func() error
}

// openOutbox makes a queue in a new folder below dir.
func openOutbox(o *options, routes router, w *watch) (_ *outbox, err error) {
	b := &outbox{queue: memqueue.New(), watch: w, close: func() error { return nil }}
	switch {
	case o.postgres():
		b.foreign = true
		if b.queue, b.close, err = openPostgres(o.queue); err != nil {
			return nil, err
		}
	case o.queue == "bolt":
		if b.dir, err = os.MkdirTemp(o.dir, "bench"); err != nil {
			return nil, err
		}
		q, err := boltqueue.Open(b.file(), boltqueue.Options{})
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(b.dir))
		}
		b.queue = q
		b.close = func() error { return errors.Join(q.Close(), os.RemoveAll(b.dir)) }
	}
	b.sender, err = delivery.New(b.queue, delivery.Config{
		Hostname:    "bench.example",
		Router:      routes,
		Observer:    w,
		Concurrency: o.total,
	})
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *outbox) file() string { return filepath.Join(b.dir, "mail.db") }

// run starts to deliver. stop ends that, and returns when it has ended; all but the first call do nothing.
func (b *outbox) run(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.sender.Run(ctx) }()
	return sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
}

// syncs is how often the queue's file was synced, roughly: bbolt syncs twice for each transaction, and once more when the file grows.
func (b *outbox) syncs() (float64, error) {
	if b.dir == "" {
		return 0, nil
	}
	// bbolt counts its transactions in the two meta pages that it writes in turns.
	const metaSize, transaction = 80, 64
	var newest uint64
	f, err := os.Open(b.file())
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for page := range int64(2) {
		var meta [metaSize]byte
		if _, err := f.ReadAt(meta[:], page*int64(os.Getpagesize())); err != nil {
			return 0, err
		}
		newest = max(newest, binary.NativeEndian.Uint64(meta[transaction:]))
	}
	return 2 * float64(newest), nil
}

// used is what this process has used so far, with the syncs of this queue.
func (b *outbox) used() (u usage, err error) {
	u = used()
	if b.foreign {
		u.syncs, u.written = math.NaN(), math.NaN()
		return u, nil
	}
	u.syncs, err = b.syncs()
	return u, err
}

// enqueuer calls Enqueue.
type enqueuer struct {
	*outbox
	load load
}

func (b *outbox) caller(l load) func() (caller, error) {
	return func() (caller, error) { return enqueuer{b, l}, nil }
}

func (e enqueuer) send(ctx context.Context, number int, text letter) error {
	_, err := e.sender.Enqueue(ctx, e.load.message(number, text))
	return err
}

func (enqueuer) close() {}

func (l load) message(number int, text letter) delivery.Message {
	return delivery.Message{From: bounces, To: delivery.To(l.recipient(number)), Body: bytes.NewReader(text)}
}

// router knows the way to each domain that there is.
type router map[string]*mx.Route

// add leads domains to a server. Each is a site of its own with a host of its own, though all have the same address.
func (r router) add(domains []string, addr netip.AddrPort) router {
	for _, d := range domains {
		r[d] = &mx.Route{Site: d, Hosts: []mx.Host{{Name: "mx." + d, Addrs: []netip.Addr{addr.Addr()}, Port: addr.Port()}}}
	}
	return r
}

// Route finds a domain.
func (r router) Route(_ context.Context, domain string) (*mx.Route, error) {
	if route := r[domain]; route != nil {
		return route, nil
	}
	return nil, fmt.Errorf("no route to %.100q", domain)
}

// watch is told what happens. It counts the deliveries for a sink that doesn't, and remembers trouble.
type watch struct {
	ledger    *ledger         // nil if the sink counts
	delivered chan<- struct{} // receives after a message was delivered, if somebody is there

	mu       sync.Mutex // guards what follows
	troubles int        // attempts that did not deliver, and other trouble
	first    error      // the first of them
}

// Observe notes deliveries, and the first of all other events that shouldn't be.
func (w *watch) Observe(e delivery.Event) {
	switch e := e.(type) {
	case delivery.Attempted:
		if e.Outcome != delivery.OutcomeDelivered {
			w.trouble(fmt.Errorf("%s: %s: %s %s %d %s", e.Recipient, e.Outcome,
				e.Reply.Addr, e.Reply.Phase, e.Reply.Code, e.Reply.Text))
			return
		}
		if w.ledger != nil {
			w.ledger.note(recipientNumber(e.Recipient), e.Time.Add(e.Took))
		}
		select {
		case w.delivered <- struct{}{}:
		default:
		}
	case delivery.Trouble:
		w.trouble(e.Err)
	}
}

func (w *watch) trouble(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.troubles++
	w.first = cmp.Or(w.first, err)
}

// report says what has gone wrong, nil if nothing has. Nobody may observe any more.
func (w *watch) report() error {
	if w.troubles == 0 {
		return nil
	}
	return fmt.Errorf("%d attempts or more failed; the first: %w", w.troubles, w.first)
}
