package delivery_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// panicsOnce panics when it is called for the first time.
func panicsOnce(what string) func() {
	var called atomic.Bool
	return func() {
		if !called.Swap(true) {
			panic(what)
		}
	}
}

// panickingConn panics when something is read or written, or when it is closed, once.
type panickingConn struct {
	net.Conn
	write, close func()
}

func (c *panickingConn) Write(p []byte) (int, error) {
	c.write()
	return c.Conn.Write(p)
}

func (c *panickingConn) Close() error {
	defer c.close()
	return c.Conn.Close()
}

// panickingBody panics when it is read.
type panickingBody struct {
	io.ReadCloser
	read, close func()
}

func (b *panickingBody) Read(p []byte) (int, error) {
	b.read()
	return b.ReadCloser.Read(p)
}

func (b *panickingBody) Close() error {
	b.close()
	return b.ReadCloser.Close()
}

// Whatever of the host program's panics, the message arrives, once, after an attempt or a lease more, and the connections
// and goroutines go on or end.
func TestPanicAnywhere(t *testing.T) {
	nothing := func() {}
	for where, plant := range map[string]func(w *world, panics func()){
		"router": func(w *world, panics func()) {
			w.config.Router = mx.RouterFunc(func(ctx context.Context, domain string) (*mx.Route, error) {
				panics()
				return w.route(ctx, domain)
			})
		},
		"dial": func(w *world, panics func()) {
			w.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				panics()
				return w.dial(ctx, network, address)
			}
		},
		"write": func(w *world, panics func()) {
			w.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := w.dial(ctx, network, address)
				return &panickingConn{c, panics, nothing}, err
			}
		},
		"second write": func(w *world, panics func()) {
			n := 0
			w.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := w.dial(ctx, network, address)
				return &panickingConn{c, func() {
					if n++; n == 2 {
						panics()
					}
				}, nothing}, err
			}
		},
		"close of a connection": func(w *world, panics func()) {
			w.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := w.dial(ctx, network, address)
				return &panickingConn{c, nothing, panics}, err
			}
		},
		"open": func(w *world, panics func()) {
			inner := w.queue
			w.queue = &hookedQueue{Queue: inner, open: func(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
				panics()
				return inner.Open(ctx, id)
			}}
		},
		"read": func(w *world, panics func()) {
			inner := w.queue
			w.queue = &hookedQueue{Queue: inner, open: func(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
				body, err := inner.Open(ctx, id)
				return &panickingBody{body, panics, nothing}, err
			}}
		},
		"close of a body": func(w *world, panics func()) {
			inner := w.queue
			w.queue = &hookedQueue{Queue: inner, open: func(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
				body, err := inner.Open(ctx, id)
				return &panickingBody{body, nothing, panics}, err
			}}
		},
		"claim": func(w *world, panics func()) {
			inner := w.queue
			w.queue = &hookedQueue{Queue: inner, claim: func(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
				panics()
				return inner.Claim(ctx, r)
			}}
		},
		"commit": func(w *world, panics func()) {
			inner := w.queue
			w.queue = &hookedQueue{Queue: inner, commit: func(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
				panics()
				return inner.Commit(ctx, j, more...)
			}}
		},
		"observer": func(w *world, panics func()) {
			w.config.Observer = delivery.ObserverFunc(func(e delivery.Event) {
				w.observe(e)
				panics()
			})
		},
		"source": func(w *world, panics func()) {
			w.config.Source = func(*queue.Message, string) string { panics(); return "" }
		},
	} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				h := w.host("mx.a.example", nil, "a.example")
				w.config.Retry = retry.Schedule{time.Minute}
				plant(w, panicsOnce("in the "+where))
				w.start()
				id := w.enqueue("ann@a.example")
				w.settle(2 * time.Minute)
				w.settle(2 * time.Hour)
				w.wantStates(id, "ann@a.example delivered")
				h.wantTaken(t, 1)
				w.stop()
				if h.open != 0 {
					t.Errorf("%d connections are left open", h.open)
				}
				wantPanic(w, where)
				for _, a := range observed[delivery.Attempted](w) {
					if strings.Contains(a.Reply.Text, "goroutine") {
						t.Errorf("a stack got into a reply: %q", a.Reply.Text)
					}
				}
			})
		})
	}
}

// wantPanic checks that the observer was told of it, but for where nothing depends on what panics.
func wantPanic(w *world, where string) {
	w.t.Helper()
	if strings.HasPrefix(where, "close") {
		return
	}
	for _, e := range observed[delivery.Trouble](w) {
		if strings.Contains(e.Err.Error(), "panic: in the "+where) {
			return
		}
	}
	w.t.Errorf("nobody is told")
}

// A connection that panics after all of the message was sent leaves it uncertain.
func TestPanicAfterTheData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(&smtptest.Server{Name: "mx.a.example", Extensions: []string{"PIPELINING"}}, "a.example")
		writes := 0
		w.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := w.dial(ctx, network, address)
			return &panickingConn{c, func() {
				if writes++; writes == 3 { // EHLO; MAIL, RCPT and DATA; the text
					panic("in the last write")
				}
			}, func() {}}, err
		}
		w.start()
		id := w.enqueue("ann@a.example")
		w.settle(time.Second)
		if j := w.jobs(id)[0]; !j.Recipients[0].Uncertain {
			t.Errorf("the job is %+v", j)
		}
	})
}

// Each of many panics ends an attempt, and none of them a worker's place.
func TestPanicsLeavePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		inner := w.queue
		var opens atomic.Int64
		w.queue = &hookedQueue{Queue: inner, open: func(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
			if opens.Add(1)%3 != 0 {
				panic("in the queue")
			}
			return inner.Open(ctx, id)
		}}
		w.config.Concurrency = 2
		w.config.Retry = retry.Schedule{time.Minute}
		w.start()
		for i := range 50 {
			w.enqueue(fmt.Sprintf("u%d@a.example", i))
		}
		w.settle(5 * time.Hour)
		h.wantTaken(t, 50)
	})
}
