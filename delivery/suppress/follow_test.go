package suppress

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// world is a Sender with a List, and the server of a.example.
type world struct {
	*testing.T
	queue  *memqueue.Queue
	list   *List
	server *smtptest.Server
	sender *delivery.Sender
}

// newWorld makes a world whose server answers to RCPT with reply, and runs it until the test ends.
func newWorld(t *testing.T, reply func(address string) string) *world {
	w := &world{T: t, queue: memqueue.New()}
	w.list = &List{Notes: w.queue}
	w.server = &smtptest.Server{Name: "mx.a.example", Reply: func(c smtptest.Command) string {
		if c.Verb == "RCPT" {
			return reply(c.Address)
		}
		return ""
	}}
	t.Cleanup(w.server.Close)
	s, err := delivery.New(w.queue, delivery.Config{
		Hostname:   "postroad.example",
		Suppressor: w.list,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return w.server.Dial(ctx, network, address)
		},
		Router: mx.RouterFunc(func(_ context.Context, domain string) (*mx.Route, error) {
			if domain == "gone.example" {
				return nil, &mx.Error{Domain: domain, Permanent: true, Code: 550, Enhanced: "5.1.2", Err: mx.ErrNoDomain}
			}
			host := mx.Host{Name: "mx.a.example", Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Port: 25}
			return &mx.Route{Site: host.Name, Hosts: []mx.Host{host}}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.sender = s
	w.run(s.Run)
	return w
}

// run runs something until the test ends.
func (w *world) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	var stopped atomic.Bool
	stop = func() {
		if !stopped.Swap(true) {
			cancel()
			if err := <-done; err != nil {
				w.Error(err)
			}
		}
	}
	w.Cleanup(stop)
	return stop
}

func (w *world) follow(ctx context.Context) error { return w.list.Follow(ctx, w.sender.Outcomes) }

// send sends a message, waits for a day, and returns what has become of its recipients.
func (w *world) send(to ...string) (became string) {
	w.Helper()
	r, err := w.sender.Enqueue(w.Context(), delivery.Message{To: delivery.To(to...), Body: strings.NewReader("Subject: hello\r\n\r\n")})
	if err != nil {
		w.Fatal(err)
	}
	time.Sleep(25 * time.Hour)
	var words []string
	for j := range w.queue.Jobs(w.Context(), queue.Filter{ID: r.ID}) {
		for _, r := range j.Recipients {
			words = append(words, fmt.Sprint(r.Address, " ", r.State, " ", r.Reply.Phase, " ", r.Reply.Code))
		}
	}
	slices.Sort(words)
	return strings.Join(words, "; ")
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(address string) string {
			switch address {
			case "ann@a.example":
				return "550 5.1.1 no such user"
			case "ben@a.example":
				return "552 5.2.2 full"
			}
			return ""
		})
		w.run(w.follow)
		all := []string{"ann@a.example", "ben@a.example", "cid@a.example", "dan@gone.example"}
		first := "ann@a.example bounced rcpt 550; ben@a.example bounced rcpt 552; cid@a.example delivered body 250; dan@gone.example bounced route 550"
		later := "ann@a.example bounced suppressed 550; ben@a.example bounced rcpt 552; cid@a.example delivered body 250; dan@gone.example bounced suppressed 550"
		last := "ann@a.example bounced suppressed 550; ben@a.example bounced suppressed 550; cid@a.example delivered body 250; dan@gone.example bounced suppressed 550"
		for i, want := range []string{first, later, later, last} {
			if got := w.send(all...); got != want {
				t.Errorf("message %d:\n%s, want\n%s", i, got, want)
			}
		}
		wantListed(t, w.list, "ann@a.example no such user", "ben@a.example mailbox full", "gone.example no such domain")
	})
}

// What ends while nobody follows is learned later, once.
func TestFollowGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(address string) string { return "550 5.1.1 no such user" })
		stop := w.run(w.follow)
		w.send("ann@a.example")
		stop()
		w.send("ben@a.example")
		wantListed(t, w.list, "ann@a.example no such user")
		if err := w.list.Remove(t.Context(), "", "ann@a.example"); err != nil {
			t.Fatal(err)
		}
		w.run(w.follow)
		synctest.Wait()
		wantListed(t, w.list, "ben@a.example no such user")
	})
}

// A recipient that has ended long before the last one of its job counts, and once.
func TestFollowLearnsEachRecipient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ready atomic.Bool
		w := newWorld(t, func(address string) string {
			switch {
			case address == "ann@a.example":
				return "552 5.2.2 full"
			case !ready.Load():
				return "450 4.2.0 greylisted"
			}
			return ""
		})
		w.run(w.follow)
		w.send("ann@a.example", "ben@a.example", "cid@a.example")
		ready.Store(true)
		time.Sleep(4 * 24 * time.Hour)
		w.send("ann@a.example")
		wantListed(t, w.list)
		w.send("ann@a.example")
		wantListed(t, w.list, "ann@a.example mailbox full")
	})
}

// failing is a queue that fails at will.
type failing struct {
	*memqueue.Queue
	jobs, get, set error
}

func (q *failing) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	if q.jobs != nil {
		return func(yield func(*queue.Job, error) bool) { yield(nil, q.jobs) }
	}
	return q.Queue.Jobs(ctx, f)
}

func (q *failing) Get(ctx context.Context, key string) ([]byte, error) {
	if q.get != nil {
		return nil, q.get
	}
	return q.Queue.Get(ctx, key)
}

func (q *failing) Set(ctx context.Context, key string, value []byte) error {
	if q.set != nil {
		return q.set
	}
	return q.Queue.Set(ctx, key, value)
}

// Nothing is skipped for an error: who calls again hears of all.
func TestFollowFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(string) string { return "550 5.1.1 no such user" })
		w.send("ann@a.example")
		bad := errors.New("bad disk")
		for name, q := range map[string]*failing{
			"jobs": {Queue: w.queue, jobs: bad}, "get": {Queue: w.queue, get: bad}, "set": {Queue: w.queue, set: bad},
		} {
			l, outcomes := &List{Notes: q}, w.sender.Outcomes
			if q.jobs != nil {
				s, err := delivery.New(q, delivery.Config{})
				if err != nil {
					t.Fatal(err)
				}
				outcomes = s.Outcomes
			}
			if err := l.Follow(t.Context(), outcomes); !errors.Is(err, bad) || !strings.HasPrefix(err.Error(), "suppress: ") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := w.queue.Set(t.Context(), CursorKey, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := w.list.Follow(t.Context(), w.sender.Outcomes); err == nil {
			t.Error("a cursor that makes no sense is no error")
		}
		if err := w.queue.Set(t.Context(), CursorKey, nil); err != nil {
			t.Fatal(err)
		}
		w.run(w.follow)
		synctest.Wait()
		wantListed(t, w.list, "ann@a.example no such user")
	})
}

// How far it was read is stored with what was learned, and once in a thousand outcomes that teach nothing: the disk has better
// things to do.
func TestFollowSavesItsCursorNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		notes := &counting{Queue: memqueue.New()}
		l := &List{Notes: notes}
		job := &queue.Job{Message: queue.Message{Enqueued: time.Now()}}
		from := func(want queue.Mark, outcomes ...delivery.Outcome) error {
			return l.Follow(t.Context(), func(_ context.Context, since queue.Mark) iter.Seq2[delivery.Outcome, error] {
				if since != want {
					t.Errorf("read on behind %d, want %d", since, want)
				}
				return func(yield func(delivery.Outcome, error) bool) {
					for i, o := range outcomes {
						o.Mark, o.Job = since+queue.Mark(i)+1, job
						if !yield(o, nil) {
							return
						}
					}
				}
			})
		}
		well := delivery.Outcome{Recipient: queue.Recipient{Address: "ann@a.example", State: queue.Delivered}}
		bad := delivery.Outcome{Recipient: queue.Recipient{Address: "ben@a.example", State: queue.Bounced, Reply: queue.Reply{Phase: "rcpt", Code: 550}}}
		for _, err := range []error{
			from(0, slices.Repeat([]delivery.Outcome{well}, 2500)...),
			from(2000, well, well, bad, well),
			from(2003),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		if notes.sets != 4 {
			t.Errorf("%d notes were stored", notes.sets)
		}
	})
}

// counting counts what is stored.
type counting struct {
	*memqueue.Queue
	sets int
}

func (q *counting) Set(ctx context.Context, key string, value []byte) error {
	q.sets++
	return q.Queue.Set(ctx, key, value)
}
