package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// byName refuses whoever is called no..., and defers once whoever is called late...
func byName() func(smtptest.Command) string {
	var seen sync.Map
	return func(c smtptest.Command) string {
		switch {
		case c.Verb != "RCPT":
		case strings.HasPrefix(c.Address, "no"):
			return "550 5.1.1 no such user"
		case strings.HasPrefix(c.Address, "late"):
			if _, again := seen.LoadOrStore(c.Address, true); !again {
				return "450 4.7.1 greylisted"
			}
		}
		return ""
	}
}

// outcomes reads what there is behind a mark, such as "ann@a.example delivered", and the marks.
func (w *world) outcomes(since queue.Mark) (list []string, marks []queue.Mark) {
	w.t.Helper()
	for o, err := range w.sender.OutcomesSoFar(context.Background(), since) {
		if err != nil {
			w.t.Fatal(err)
		}
		list = append(list, o.Recipient.Address+" "+o.Recipient.State.String())
		marks = append(marks, o.Mark)
	}
	return list, marks
}

// Each end of a recipient is an outcome, in the order of the commits, and every mark is a place to go on from.
func TestOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", byName(), "a.example")
		w.host("mx.home.example", nil, "home.example")
		w.start()
		w.enqueue("late1@a.example", "ann@a.example", "no1@a.example", "late2@a.example", "ben@a.example")
		w.settle(time.Second)
		w.enqueue("cat@a.example")
		w.settle(time.Hour)
		w.pause(delivery.Selector{}, time.Time{})
		id := w.enqueue("dan@a.example")
		w.want(1)(w.sender.Withdraw(context.Background(), delivery.Selector{ID: id}))
		want := []string{
			"ann@a.example delivered", "no1@a.example bounced", "ben@a.example delivered", // one commit
			"sender@home.example delivered", // the report
			"cat@a.example delivered",
			"late1@a.example delivered", "late2@a.example delivered",
			"dan@a.example withdrawn",
		}
		all, marks := w.outcomes(0)
		if !slices.Equal(all, want) || !slices.IsSorted(marks) {
			t.Errorf("outcomes are %q under %d, want %q", all, marks, want)
		}
		for i, mark := range marks {
			if rest, _ := w.outcomes(mark); !slices.Equal(rest, want[i+1:]) {
				t.Errorf("behind %q there are %q", want[i], rest)
			}
		}
	})
}

// An outcome tells who, what and why, and which report there was.
func TestOutcomeTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", byName(), "a.example")
		w.host("mx.home.example", func(c smtptest.Command) string {
			if c.Verb == "." {
				return "250 2.0.0 Ok: queued as 4ZkQ9x1Yz3"
			}
			return ""
		}, "home.example")
		w.start()
		id := w.enqueue("nobody@a.example")
		w.settle(time.Second)
		var list []delivery.Outcome
		for o, err := range w.sender.OutcomesSoFar(context.Background(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, o)
		}
		if len(list) != 2 {
			t.Fatalf("outcomes are %v", list)
		}
		bounced, report := list[0], list[1]
		if bounced.Job.Key.ID != id || bounced.Recipient.Report != report.Job.Key.ID || report.Job.Message.From != "" || bounced.Recipient.Reply.Code != 550 {
			t.Errorf("outcomes are %+v and %+v", bounced, report)
		}
		if got := bounced.String(); got != "nobody@a.example: refused by mx.a.example: 550 5.1.1 no such user" {
			t.Errorf("%q", got)
		}
		if got := report.Job.Attempts[0].QueueID; got != "4ZkQ9x1Yz3" {
			t.Errorf("the server calls the report %q", got)
		}
	})
}

// follow reads outcomes until its ctx ends. What it has read goes to a channel.
func (w *world) follow(ctx context.Context, since queue.Mark) (read chan string, done chan error) {
	read, done = make(chan string, 100), make(chan error, 1)
	go func() {
		for o, err := range w.sender.Outcomes(ctx, since) {
			if err != nil {
				done <- err
				return
			}
			read <- o.Recipient.Address
		}
		done <- nil
	}()
	return read, done
}

// Who follows hears of what ends when it does, and costs nothing while nothing does. The end of its ctx is its end, and no error.
func TestOutcomesAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", byName(), "a.example")
		q := &listings{notedQueue: w.queue.(notedQueue)}
		w.queue = q
		w.config.Retry = retry.Schedule{time.Minute}
		w.start()
		ctx, cancel := context.WithCancel(context.Background())
		first, done := w.follow(ctx, 0)
		second, done2 := w.follow(ctx, 0)
		for i := range 3 {
			to := fmt.Sprintf("u%d@a.example", i)
			w.enqueue(to)
			synctest.Wait() // no time passes
			for _, read := range []chan string{first, second} {
				if got := <-read; got != to {
					t.Errorf("read %q, want %q", got, to)
				}
			}
		}
		w.enqueue("late@a.example")
		synctest.Wait()
		before := q.n.Load()
		time.Sleep(50 * time.Second) // it is deferred
		if n := q.n.Load(); n != before {
			t.Errorf("outcomes were looked for %d times while nothing ended", n-before)
		}
		w.settle(time.Minute)
		<-first
		<-second
		w.pause(delivery.Selector{}, time.Time{})
		id := w.enqueue("dan@a.example")
		w.want(1)(w.sender.Withdraw(ctx, delivery.Selector{ID: id}))
		synctest.Wait()
		if len(first) != 1 || len(second) != 1 {
			t.Errorf("%d and %d have been heard of, of one that was withdrawn", len(first), len(second))
		}
		cancel()
		if err := errors.Join(<-done, <-done2); err != nil {
			t.Error(err)
		}
		for range w.sender.Outcomes(ctx, 0) {
			t.Error("an outcome after the end of ctx")
		}
	})
}

// listings counts how often what has ended is listed.
type listings struct {
	notedQueue
	n atomic.Int64
}

func (q *listings) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	if f.Ended {
		q.n.Add(1)
	}
	return q.notedQueue.Jobs(ctx, f)
}

// sharedQueue is one to which others commit, too.
type sharedQueue struct {
	queue.Queue
	wakes chan struct{}
}

func (q *sharedQueue) Now(context.Context) (time.Time, error) { return time.Now(), nil }

func (q *sharedQueue) Beat(_ context.Context, _ string, _ time.Duration, want map[string]queue.Slots) (map[string]int, error) {
	have := make(map[string]int, len(want))
	for site, slots := range want {
		have[site] = slots.Want
	}
	return have, nil
}

// tellingQueue also tells when others enqueue.
type tellingQueue struct{ *sharedQueue }

func (q tellingQueue) Wake(ctx context.Context) <-chan struct{} {
	wakes := make(chan struct{})
	go func() {
		defer close(wakes)
		for {
			select {
			case <-q.wakes:
				wakes <- struct{}{}
			case <-ctx.Done():
				return
			}
		}
	}()
	return wakes
}

// What others have committed is found in a few seconds, or when they wake us.
func TestOutcomesOfOthers(t *testing.T) {
	for name, wait := range map[string]time.Duration{"looks": 3 * time.Second, "is woken": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.host("mx.a.example", nil, "a.example")
				others := newWorld(t)
				others.routes, others.hosts, others.queue = w.routes, w.hosts, w.queue
				q := &sharedQueue{w.queue, make(chan struct{})}
				w.queue = q
				if wait == 0 {
					w.queue = tellingQueue{q}
				}
				var err error
				if w.sender, err = delivery.New(w.queue, w.config); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(context.Background())
				read, done := w.follow(ctx, 0)
				synctest.Wait()
				others.start()
				others.enqueue("ann@a.example")
				synctest.Wait()
				if wait == 0 {
					q.wakes <- struct{}{}
				}
				w.settle(wait)
				if len(read) != 1 {
					t.Errorf("%d outcomes are read", len(read))
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// tornQueue fails in the middle of a listing, and then is well again.
type tornQueue struct {
	queue.Queue
	after int // jobs
}

var errTorn = errors.New("torn")

func (q *tornQueue) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	return func(yield func(*queue.Job, error) bool) {
		for j, err := range q.Queue.Jobs(ctx, f) {
			if q.after--; q.after == 0 {
				yield(nil, errTorn)
				return
			}
			if !yield(j, err) {
				return
			}
		}
	}
}

// An error of the queue ends the sequence, and whoever goes on from its last mark has missed nothing.
func TestOutcomesOfAFailingQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.host("mx.a.example", byName(), "a.example")
		w.start()
		w.enqueue("ann@a.example", "late@a.example", "ben@a.example")
		w.settle(time.Second)
		w.enqueue("cat@a.example")
		w.settle(time.Hour)
		w.stop()
		want, _ := w.outcomes(0)
		for after := 1; after <= 3; after++ {
			for name, read := range map[string]func(*delivery.Sender, context.Context, queue.Mark) iter.Seq2[delivery.Outcome, error]{
				"Outcomes": (*delivery.Sender).Outcomes, "OutcomesSoFar": (*delivery.Sender).OutcomesSoFar,
			} {
				s, err := delivery.New(&tornQueue{Queue: w.queue, after: after}, w.config)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				var since queue.Mark
				failed := 0
				for len(got) < len(want) && failed < 2 {
					for o, err := range read(s, context.Background(), since) {
						if err != nil {
							failed++
							if !errors.Is(err, errTorn) || !strings.HasPrefix(err.Error(), "delivery: ") || o.Job != nil {
								t.Errorf("%s: %v with %+v", name, err, o)
							}
							break
						}
						since = o.Mark
						if got = append(got, o.Recipient.Address+" "+o.Recipient.State.String()); len(got) == len(want) {
							break
						}
					}
				}
				if !slices.Equal(got, want) || failed != 1 {
					t.Errorf("%s, torn after %d: %q with %d errors, want %q", name, after, got, failed, want)
				}
			}
		}
	})
}

// To be cut short is not to have read all.
func TestOutcomesSoFarEnd(t *testing.T) {
	s, err := delivery.New(memqueue.New(), delivery.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	for _, err := range s.OutcomesSoFar(ctx, 0) {
		t.Errorf("of an empty queue: %v", err)
	}
	cancel()
	for _, err = range s.OutcomesSoFar(ctx, 0) {
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of ctx: %v", err)
	}
}
