package suppress_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/suppress"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// life is one life of a program on a queue file.
type life struct {
	*testing.T
	queue  *boltqueue.Queue
	list   *suppress.List
	sender *delivery.Sender
}

func newLife(t *testing.T, path string, router mx.Router) *life {
	t.Helper()
	q, err := boltqueue.Open(path, boltqueue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() }) // a second time is harmless
	l := &life{T: t, queue: q, list: &suppress.List{Notes: q}}
	if l.sender, err = delivery.New(q, delivery.Config{Router: router, Suppressor: l.list}); err != nil {
		t.Fatal(err)
	}
	return l
}

// run runs the Sender, and the List beside it, until done is called.
func (l *life) run() (done func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- l.sender.Run(ctx) }()
	go func() { ended <- l.list.Follow(ctx, l.sender.Outcomes) }()
	return func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				l.Error(err)
			}
		}
		if err := l.queue.Close(); err != nil {
			l.Error(err)
		}
	}
}

// outcome sends a message to an address, and returns the phase in which it was decided.
func (l *life) outcome(to string) string {
	l.Helper()
	r, err := l.sender.Enqueue(l.Context(), delivery.Message{To: delivery.To(to), Body: strings.NewReader("Subject: hello\r\n\r\n")})
	if err != nil {
		l.Fatal(err)
	}
	for o, err := range l.sender.Outcomes(l.Context(), 0) {
		if err != nil {
			l.Fatal(err)
		}
		if o.Job.Key.ID == r.ID {
			return o.Recipient.State.String() + " " + o.Recipient.Reply.Phase
		}
	}
	l.Fatal("there is no outcome")
	return ""
}

// What was added, and what was learned, is there in the next life, as is what was suppressed and not concluded in the last.
func TestListOutlivesTheProgram(t *testing.T) {
	server := smtptest.NewServer(func(c smtptest.Command) string {
		if c.Address == "ben@a.example" {
			return "550 5.1.1 no such user"
		}
		return ""
	})
	defer server.Close()
	relay, err := mx.ParseRelay("smtp://" + server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "mail.db")

	first := newLife(t, path, relay)
	if err := first.list.Add(t.Context(), suppress.Entry{Address: "ann@a.example", Reason: suppress.Complaint}); err != nil {
		t.Fatal(err)
	}
	if err := first.list.Add(t.Context(), suppress.Entry{Address: "eve@a.example"}); err != nil {
		t.Fatal(err)
	}
	if err := first.list.Remove(t.Context(), "", "eve@a.example"); err != nil {
		t.Fatal(err)
	}
	waiting, err := first.sender.Enqueue(t.Context(), delivery.Message{To: delivery.To("ann@a.example")})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.queue.Close(); err != nil {
		t.Fatal(err)
	}

	second := newLife(t, path, relay)
	done := second.run()
	for to, want := range map[string]string{"ann@a.example": "bounced suppressed", "ben@a.example": "bounced rcpt", "eve@a.example": "delivered body"} {
		if got := second.outcome(to); got != want {
			t.Errorf("%s in the second life: %s", to, got)
		}
	}
	for j := range second.queue.Jobs(t.Context(), queue.Filter{ID: waiting.ID}) {
		if r := j.Recipients[0]; r.State != queue.Bounced || r.Reply.Phase != "suppressed" || j.Tries != 0 {
			t.Errorf("what waited is %+v", j)
		}
	}
	for found := false; !found; { // it is learned after the outcome, and from the same
		_, found, err = second.list.Get(t.Context(), "", "ben@a.example")
		if err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	done()

	third := newLife(t, path, relay)
	done = third.run()
	defer done()
	for to, want := range map[string]string{"ann@a.example": "bounced suppressed", "ben@a.example": "bounced suppressed", "eve@a.example": "delivered body"} {
		if got := third.outcome(to); got != want {
			t.Errorf("%s in the third life: %s", to, got)
		}
	}
}

// many are the notes of a long list, made up as they are read.
type many struct{ n int }

func (m many) Get(_ context.Context, key string) ([]byte, error) {
	name, found := strings.CutPrefix(key, "suppress/entry//user")
	if n, err := strconv.Atoi(strings.TrimSuffix(name, "@a.example")); !found || err != nil || n >= m.n {
		return nil, nil
	}
	address := strings.TrimPrefix(key, "suppress/entry//")
	return fmt.Appendf(nil, `{"address":%q,"reason":"no such user","added":"2026-11-02T00:00:00Z"}`, address), nil
}

func (m many) Set(context.Context, string, []byte) error { return nil }

func (m many) Keys(_ context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for n := range m.n {
			if key := fmt.Sprintf("suppress/entry//user%d@a.example", n); strings.HasPrefix(key, prefix) && !yield(key, nil) {
				return
			}
		}
	}
}

// A long list takes no memory: not to ask, nor to write it out, nor to read it in.
func TestMemory(t *testing.T) {
	const n = 200_000 // each would take a hundred octets at least
	list := &suppress.List{Notes: many{n}}
	m := &queue.Message{}
	why, err := list.Suppressed(t.Context(), m, []string{"user199999@a.example", "user200000@a.example"})
	if len(why) != 1 || err != nil {
		t.Errorf("suppressed are %v, %v", why, err)
	}
	before := heap()
	most := uint64(0)
	file, w := io.Pipe()
	go func() { w.CloseWithError(list.Export(t.Context(), w)) }()
	read, err := list.Import(t.Context(), &watched{Reader: file, look: func() { most = max(most, heap()) }})
	if read != n || err != nil {
		t.Errorf("imported %d, %v", read, err)
	}
	if most > before+4<<20 {
		t.Errorf("it took %d octets", most-before)
	}
}

// heap is how much is in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// watched calls a function once in about 2 MB.
type watched struct {
	io.Reader
	read int
	look func()
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if w.read += n; w.read > 2_000_000 {
		w.read = 0
		w.look()
	}
	return n, err
}

// To look up an address that isn't there, of a tenant's mail, among many that are.
func BenchmarkSuppressed(b *testing.B) {
	q, err := boltqueue.Open(filepath.Join(b.TempDir(), "mail.db"), boltqueue.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer q.Close()
	list := &suppress.List{Notes: q}
	file, w := io.Pipe()
	go func() { w.CloseWithError((&suppress.List{Notes: many{100_000}}).Export(b.Context(), w)) }()
	begun := time.Now()
	if _, err := list.Import(b.Context(), file); err != nil {
		b.Fatal(err)
	}
	b.Logf("imported in %v", time.Since(begun))
	for _, tenant := range []string{"", "shop"} {
		b.Run("tenant="+tenant, func(b *testing.B) {
			to, m := []string{""}, &queue.Message{Tenant: tenant}
			for n := 0; b.Loop(); n++ {
				to[0] = fmt.Sprintf("user%dx@a.example", n%100_000)
				if why, err := list.Suppressed(b.Context(), m, to); why != nil || err != nil {
					b.Fatal(why, err)
				}
			}
		})
	}
}
