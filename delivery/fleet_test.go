package delivery_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// fleet is several Senders on one queue, in one world.
type fleet struct {
	*world
	pool    *pool
	members []*member
}

// member is one of them, which stands for a process.
type member struct {
	*delivery.Sender
	user  *user
	dials atomic.Int64
	end   func() // ends its Run, and waits for it
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{world: newWorld(t), pool: newPool()}
	f.world.queue = f.pool
	return f
}

// join starts another Sender.
func (f *fleet) join() *member {
	f.t.Helper()
	u := f.pool.user()
	m := &member{user: u}
	c := f.config
	c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		m.dials.Add(1)
		return f.dial(ctx, network, address)
	}
	var err error
	if m.Sender, err = delivery.New(u, c); err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	m.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	})
	f.t.Cleanup(m.end)
	f.members = append(f.members, m)
	return m
}

// send has a member enqueue n messages to a domain.
func (f *fleet) send(m *member, domain string, n int) {
	f.t.Helper()
	for i := range n {
		f.post(m, delivery.Message{From: "sender@home.example", To: delivery.To(fmt.Sprintf("user%d@%s", i, domain))})
	}
}

func (f *fleet) post(m *member, msg delivery.Message) {
	f.t.Helper()
	msg.Body = strings.NewReader("Subject: hello\r\n\r\nHello.\r\n")
	if _, err := m.Enqueue(f.t.Context(), msg); err != nil {
		f.t.Fatalf("Enqueue: %v", err)
	}
}

// left is how many jobs aren't finished.
func (f *fleet) left() (n int) {
	for range f.pool.Jobs(context.Background(), queue.Filter{Unfinished: true}) {
		n++
	}
	return n
}

// site returns what a member says of a site.
func (m *member) site(t *testing.T, name string) delivery.SiteStats {
	t.Helper()
	st, err := m.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range st.Sites {
		if s.Name == name {
			return s
		}
	}
	return delivery.SiteStats{}
}

// slow has the end of each message wait for so long.
func slow(d time.Duration) func(smtptest.Command) string {
	return func(c smtptest.Command) string {
		if c.Verb == "." {
			time.Sleep(d)
		}
		return ""
	}
}

var anyJob = queue.Filter{}

// leave ends a member, unless it is the only one.
func (f *fleet) leave(m *member) {
	if len(f.members) == 1 {
		return
	}
	f.members = slices.DeleteFunc(f.members, func(o *member) bool { return o == m })
	m.end()
}
