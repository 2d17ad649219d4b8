package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
	"github.com/postroad/postroad/retry"
)

// lifeVariable has what the kill test tells its other process: this program, started again.
const lifeVariable = "DELIVERY_TEST_LIFE"

func TestMain(m *testing.M) {
	text := os.Getenv(lifeVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var l life
	err := json.Unmarshal([]byte(text), &l)
	if err == nil {
		err = l.live()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// life is one run of the process that is killed: a Sender on the queue that earlier ones have left. It says on its standard
// output, a line for each,
//
//	queued ID from     Enqueue has returned nil
//	delivered ID to    the Sender says that this is stored
//	empty              the queue is
//
// and ends in order when its standard input does. It has nothing to say on its standard error.
type life struct {
	Number   int                       // it says EHLO with it
	File     string                    // of the queue
	Messages int                       // to enqueue
	Hosts    map[string]netip.AddrPort // by domain
}

const (
	lifeWorkers   = 16              // connections at once
	lifeUnsettled = lifeWorkers * 8 // deliveries that aren't stored yet: the Sender promises no more for each connection
	lifeEnqueuers = 4
)

func (l life) live() error {
	q, err := boltqueue.Open(l.File, boltqueue.Options{})
	if err != nil {
		return err
	}
	s, err := delivery.New(q, delivery.Config{
		Hostname:    fmt.Sprintf("life%d.example", l.Number),
		Router:      mx.RouterFunc(l.route),
		Retry:       retry.Schedule{10 * time.Millisecond},
		Concurrency: lifeWorkers,
		DelayAfter:  time.Nanosecond,
		// The connections that the servers drop are no reason to rest.
		Shaping:  shaping.Policy{Default: shaping.Limits{Start: lifeWorkers, Rest: 20 * time.Millisecond}},
		Observer: delivery.ObserverFunc(say),
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	go func() {
		// A message that kill after kill has met alone is held, now or as soon as it is claimed: it could be what ends the process. Here
		// it never is.
		release := func() int {
			n, err := s.Release(ctx, delivery.Selector{})
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			return n
		}
		release()
		l.enqueue(s)
		for awaitEmpty(q); release() > 0; {
			awaitEmpty(q)
		}
		fmt.Println("empty")
	}()
	reading := make(chan error, 1)
	go func() {
		reading <- keepLedger(l.File, func(since queue.Mark) iter.Seq2[delivery.Outcome, error] { return s.Outcomes(ctx, since) })
	}()
	err = errors.Join(s.Run(ctx), <-reading)
	rest := func(since queue.Mark) iter.Seq2[delivery.Outcome, error] {
		return s.OutcomesSoFar(context.Background(), since)
	}
	return errors.Join(err, keepLedger(l.File, rest), q.Close())
}

func (l life) route(ctx context.Context, domain string) (*mx.Route, error) {
	to := l.Hosts[domain]
	host := mx.Host{Name: "mx." + domain, Addrs: []netip.Addr{to.Addr()}, Port: to.Port()}
	return &mx.Route{Site: domain, Hosts: []mx.Host{host}}, nil
}

// say tells what is stored. Each line is one write, which a kill doesn't divide.
func say(e delivery.Event) {
	switch e := e.(type) {
	case delivery.Attempted:
		if e.Outcome == delivery.OutcomeDelivered {
			fmt.Println("delivered", e.Key.ID, e.Recipient)
		}
	case delivery.Trouble:
		fmt.Fprintln(os.Stderr, e.Key, e.Err)
	}
}

// enqueue enqueues the messages of this life, as fast as it can.
func (l life) enqueue(s *delivery.Sender) {
	var workers sync.WaitGroup
	var last atomic.Int64
	for range lifeEnqueuers {
		workers.Go(func() {
			for n := int(last.Add(1)); n <= l.Messages; n = int(last.Add(1)) {
				m := killMail{l.Number, n}
				receipt, err := s.Enqueue(context.Background(), m.message())
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					continue
				}
				fmt.Println("queued", receipt.ID, m.from())
			}
		})
	}
	workers.Wait()
}

// awaitEmpty returns when q has no unfinished job but those that are held: all others are behind the heads of lanes.
func awaitEmpty(q queue.Queue) {
	for empty := false; !empty; time.Sleep(5 * time.Millisecond) {
		empty = true
		for _, err := range q.Jobs(context.Background(), queue.Filter{Unfinished: true, Heads: true, Limit: 1}) {
			empty = false
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
		}
	}
}
