package pgqueue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
)

// lease asks for jobs for an hour.
func lease(holder string, jobs ...int) queue.LeaseRequest {
	return queue.LeaseRequest{Now: start, Lease: time.Hour, Holder: holder, Jobs: func() []int { return jobs }}
}

// leased stores e and returns the jobs that are leased with it.
func leased(t testing.TB, q *pgqueue.Queue, e *queue.Entry, l queue.LeaseRequest) []*queue.Job {
	t.Helper()
	jobs, added, err := q.EnqueueLeased(t.Context(), e, l)
	if err != nil || !added {
		t.Fatalf("EnqueueLeased: %v, %v", added, err)
	}
	return jobs
}

// due claims all that is due some time after start.
func due(t testing.TB, q queue.Queue, after time.Duration) []*queue.Job {
	t.Helper()
	c, err := q.Claim(t.Context(), queue.ClaimRequest{Now: start.Add(after), Lease: time.Hour, Limit: 1000})
	must(t, err)
	return c.Jobs
}

func keys(jobs []*queue.Job) string {
	list := []queue.Key{}
	for _, j := range jobs {
		list = append(list, j.Key)
	}
	return fmt.Sprint(list)
}

func deliver(t testing.TB, q queue.Queue, j *queue.Job) {
	t.Helper()
	for i := range j.Recipients {
		j.Recipients[i].State = queue.Delivered
	}
	j.Finished = start
	must(t, q.Commit(t.Context(), j))
}

// A job is leased as it is stored if it could be claimed then, and what it was made of is read without the database.
func testLeased(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	q := open(t, pool, pgqueue.Options{Schema: pgtest.Schema(t, url)})
	e := entry("a", []byte("stored"), "free.example", "asked.example", "held.example", "later.example", "done.example", "half.example", "due.example")
	e.Message.Enqueued = start.Add(-time.Hour)
	e.Jobs[2].Held = true
	e.Jobs[3].Due = start.Add(time.Second)
	e.Jobs[4].Finished, e.Jobs[4].Recipients[0].State = start, queue.Withdrawn
	e.Jobs[5].Recipients = append(e.Jobs[5].Recipients, queue.Recipient{Address: "x@half.example", State: queue.Delivered})
	e.Jobs[6].Due = start.Add(999) // as it is kept, that is start
	jobs := leased(t, q, e, lease("me", 6, 5, 4, 3, 2, 1, 1))
	want(t, keys(jobs), "[a/1 a/6]", "what is leased")
	_, err := pool.Exec(t.Context(), `UPDATE "`+pgqueue.SchemaOf(q)+`".chunks SET octets = 'edited'`)
	must(t, err)
	for _, body := range []string{"stored", "edited"} {
		wantBody(t, q, "a", []byte(body))
	}
	want(t, keys(due(t, q, 0)), "[a/0 a/5]", "what is claimable")
	for _, j := range jobs {
		deliver(t, q, j)
		must(t, q.Commit(t.Context(), j)) // again
	}
	want(t, keys(due(t, q, 0)), "[]", "what is claimable")
	want(t, keys(due(t, q, 2*time.Hour)), "[a/0 a/5 a/3]", "what is claimable later")

	large := bytes.Repeat([]byte("a line of a large body\r\n"), 50_000)
	jobs = leased(t, q, entry("large", large, "a.example"), lease("me", 0))
	want(t, keys(jobs), "[large/0]", "what is leased of a message that was written ahead")
	wantBody(t, q, "large", large)
	deliver(t, q, jobs[0])
	for _, l := range []queue.LeaseRequest{lease("me", 1), lease("me", -1), {Now: start, Jobs: func() []int { return nil }}} {
		if _, added, err := q.EnqueueLeased(t.Context(), entry("invalid", nil, "a.example"), l); added || !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("%v: %v, %v", l, added, err)
		}
	}
}

// A job is leased as Claim would have returned it, to the last field, and what the database doesn't keep is cut off.
func testLeasedEquals(t *testing.T, url string) {
	q := open(t, pgtest.Pool(t, url), pgqueue.Options{Schema: pgtest.Schema(t, url)})
	e := full("full")
	empty := entry("empty", nil, "a.example")
	empty.Message.Labels, empty.Jobs[0].Attempts, empty.Message.Enqueued = []string{}, []queue.Attempt{}, time.Time{}
	for _, e := range []*queue.Entry{e, empty} {
		l := lease("me", 0)
		l.Now = start.Add(1999).In(elsewhere)
		got := leased(t, q, e, l)[0]
		if got.Token == 0 || !got.Leased.Equal(start.Add(time.Hour+1000)) || got.Leased.Location() != time.UTC {
			t.Errorf("token %d, until %v", got.Token, got.Leased)
		}
		for j, err := range q.Jobs(t.Context(), queue.Filter{ID: e.Message.ID}) {
			must(t, err)
			if !j.Leased.Equal(got.Leased) {
				t.Errorf("it is stored as leased until %v, not %v", j.Leased, got.Leased)
			}
		}
		claimed := due(t, q, 2*time.Hour)
		want(t, keys(claimed), keys([]*queue.Job{got}), "what is claimable when the lease has ended")
		c := claimed[0]
		if c.Lapses != 1 || c.Token == got.Token {
			t.Errorf("%d lapses, token %d after %d", c.Lapses, c.Token, got.Token)
		}
		c.Lapses, c.Token, c.Leased = 0, got.Token, got.Leased
		if !reflect.DeepEqual(got, c) {
			t.Errorf("leased\n%+v, claimed\n%+v", got, c)
		}
		deliver(t, q, due(t, q, 4*time.Hour)[0])
	}
}

// elsewhere is where clocks don't show UTC.
var elsewhere = time.FixedZone("", 7200)

// full is an entry that has a bit of everything.
func full(id string) *queue.Entry {
	odd := start.Add(-time.Hour + 123456789).In(elsewhere)
	reply := queue.Reply{Host: "mx.example", Addr: "192.0.2.1:25", Phase: "rcpt", Code: 451, Enhanced: "4.7.1", Text: "later,\nplease"}
	e := entry(id, []byte("Hello!"), "a.example")
	m := &e.Message
	m.Tenant, m.Priority, m.Labels, m.Enqueued, m.Expires = "tenant", queue.High, []string{"one", "zwölf"}, odd, start.Add(1e15+1)
	m.UTF8, m.EightBit, m.Return, m.EnvelopeID, m.TLS = true, true, queue.ReturnHeaders, "envelope", queue.TLSVerified
	j := e.Jobs[0]
	j.Via, j.Tries, j.Due, j.Lapses, j.Token = "smtp://relay.example:587", 7, odd, 3, 4
	j.Attempts = []queue.Attempt{{Time: odd, Took: 1234567, TLS: "TLS 1.3", Verified: true, QueueID: "4c8xyz", Reply: reply}, {}}
	j.Recipients = []queue.Recipient{
		{Address: "a@a.example", Reply: reply, Notify: queue.NotifySuccess, Original: "rfc822;A@a.example", Reason: "who knows", Report: "report", Mark: 9},
		{Address: "b@a.example", State: queue.Failed, Decided: odd, Uncertain: true},
	}
	return e
}

// Messages with and without leases share transactions, and each caller gets its own jobs.
func testLeasedTogether(t *testing.T, url string) {
	q := open(t, pgtest.Pool(t, url), pgqueue.Options{Schema: pgtest.Schema(t, url)})
	const callers, messages = 32, 40
	var wg sync.WaitGroup
	var tokens sync.Map
	var waiting atomic.Int64
	for g := range callers {
		wg.Go(func() {
			for i := range messages {
				id := fmt.Sprintf("%d-%d", g, i)
				e := entry(id, []byte(id), "a.example", "b.example", "c.example")
				if i%2 == 0 {
					if added, err := q.Enqueue(t.Context(), e); err != nil || !added {
						t.Error(added, err)
					}
					waiting.Add(3)
					continue
				}
				jobs, added, err := q.EnqueueLeased(t.Context(), e, lease("me", 2, 0))
				if err != nil || !added || keys(jobs) != fmt.Sprintf("[%s/0 %s/2]", id, id) {
					t.Error(keys(jobs), added, err)
					return
				}
				waiting.Add(1)
				for _, j := range jobs {
					if _, twice := tokens.LoadOrStore(j.Token, true); twice {
						t.Errorf("two jobs have the token %d", j.Token)
					}
				}
				deliver(t, q, jobs[0])
			}
		})
	}
	wg.Wait()
	n := int64(0)
	for claimed := due(t, q, 0); len(claimed) > 0; claimed = due(t, q, 0) {
		n += int64(len(claimed))
		for _, j := range claimed {
			if _, twice := tokens.LoadOrStore(j.Token, true); twice {
				t.Errorf("two jobs have the token %d", j.Token)
			}
		}
	}
	if n != waiting.Load() {
		t.Errorf("%d jobs are claimable, want %d", n, waiting.Load())
	}
}

// A message that is stored already is leased no further, and the lease that it has stays.
func testLeasedTwice(t *testing.T, url string) {
	q := open(t, pgtest.Pool(t, url), pgqueue.Options{Schema: pgtest.Schema(t, url)})
	jobs := leased(t, q, entry("a", nil, "a.example", "b.example"), lease("me", 0))
	again, added, err := q.EnqueueLeased(t.Context(), entry("a", nil, "a.example", "b.example"), lease("me", 0, 1))
	if len(again) > 0 || added || err != nil {
		t.Errorf("a message that is stored: %v, %v, %v", keys(again), added, err)
	}
	other := entry("a", nil, "a.example")
	other.Message.Digest[0]++
	if again, added, err = q.EnqueueLeased(t.Context(), other, lease("me", 0)); len(again) > 0 || added || !errors.Is(err, queue.ErrConflict) {
		t.Errorf("another message: %v, %v, %v", keys(again), added, err)
	}
	_, err = q.Beat(t.Context(), "me", time.Hour, nil)
	must(t, err)
	want(t, keys(due(t, q, 0)), "[a/1]", "what is claimable")
	deliver(t, q, jobs[0])
}

// What a silent holder has leased so is free after another's Beat, and counts as lapsed.
func testLeasedSilent(t *testing.T, url string) {
	pool := pgtest.Pool(t, url)
	q := open(t, pool, pgqueue.Options{Schema: pgtest.Schema(t, url)})
	other := open(t, pool, pgqueue.Options{Schema: pgqueue.SchemaOf(q)})
	for holder, ttl := range map[string]time.Duration{"silent": 1, "alive": time.Hour} {
		_, err := q.Beat(t.Context(), holder, ttl, nil)
		must(t, err)
		leased(t, q, entry(holder, nil, "a.example"), lease(holder, 0))
	}
	leased(t, q, entry("nobody", nil, "a.example"), lease("", 0))
	_, err := other.Beat(t.Context(), "other", time.Hour, nil)
	must(t, err)
	claimed := due(t, other, 0)
	want(t, keys(claimed), "[silent/0]", "what is claimable")
	if claimed[0].Lapses != 1 {
		t.Errorf("%d lapses, want 1", claimed[0].Lapses)
	}
}

// deaf makes connections. When it is armed, one of them loses an answer when that is complete, and breaks.
type deaf struct {
	armed atomic.Bool // the answer to the next request that speaks of deafHolder is lost
}

// deafHolder is who leases what nobody is told of.
const deafHolder = "the deaf one"

func (d *deaf) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	return &deafConn{Conn: c, deaf: d}, err
}

type deafConn struct {
	net.Conn
	*deaf
	loses atomic.Bool
}

func (c *deafConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(deafHolder)) && c.armed.CompareAndSwap(true, false) {
		c.loses.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *deafConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.loses.Load() {
		return n, err
	}
	ready := []byte{'Z', 0, 0, 0, 5, 'I'}
	for answer := slices.Clone(b[:n]); err == nil && !bytes.HasSuffix(answer, ready); {
		n, err = c.Conn.Read(b)
		answer = append(answer, b[:n]...)
	}
	c.Conn.Close()
	return 0, io.ErrUnexpectedEOF
}

// openDeaf opens a queue that has one connection.
func openDeaf(t *testing.T, url string) (*pgqueue.Queue, *deaf) {
	d := &deaf{}
	config := pgtest.Pool(t, pgtest.With(url, "pool_max_conns=1")).Config().Copy()
	config.ConnConfig.DialFunc = d.dial
	pool, err := pgxpoolWith(t, config)
	must(t, err)
	return open(t, pool, pgqueue.Options{Schema: pgtest.Schema(t, url), PollOnly: true}), d
}

// What was claimed by a call whose answer was lost is free after the next Beat, and has not lapsed.
func testClaimedInDoubt(t *testing.T, url string) {
	for name, r := range map[string]queue.ClaimRequest{
		"any":   {Limit: 2},
		"lanes": {Limit: 2, Take: []queue.Take{{Lane: queue.Lane{Domain: "a.example"}, N: 9}, {Lane: queue.Lane{Domain: "b.example"}, N: 9}}},
		"keys":  {Limit: 2, Keys: []queue.Key{{ID: "a"}, {ID: "x"}, {ID: "a", N: 1}, {ID: "a", N: 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			q, d := openDeaf(t, url)
			kept := leased(t, q, entry("kept", nil, "z.example"), lease(deafHolder, 0))
			_, err := q.Enqueue(t.Context(), entry("a", nil, "a.example", "b.example", "c.example"))
			must(t, err)
			r.Now, r.Lease, r.Holder = start, time.Hour, deafHolder
			d.armed.Store(true)
			if c, err := q.Claim(t.Context(), r); err == nil {
				t.Fatalf("%s were claimed with no answer", keys(c.Jobs))
			}
			want(t, keys(due(t, q, 0)), "[a/2]", "what is claimable before the next Beat")
			_, err = q.Beat(t.Context(), deafHolder, time.Hour, nil)
			must(t, err)
			claimed := due(t, q, 0)
			want(t, keys(claimed), "[a/0 a/1]", "what is claimable after it")
			for _, j := range append(claimed, kept...) {
				if j.Lapses != 0 {
					t.Errorf("%s has lapsed", j.Key)
				}
				deliver(t, q, j)
			}
		})
	}
}

// A lease whose answer was lost is ended by the next Beat, as if it had never been, whether the call is repeated or not.
func testLeasedInDoubt(t *testing.T, url string) {
	for name, repeat := range map[string]bool{"repeated": true, "given up": false} {
		t.Run(name, func(t *testing.T) {
			q, d := openDeaf(t, url)
			kept := leased(t, q, entry("kept", nil, "a.example"), lease(deafHolder, 0))
			d.armed.Store(true)
			_, added, err := q.EnqueueLeased(t.Context(), entry("a", nil, "a.example", "b.example", "c.example"), lease(deafHolder, 0, 1))
			if added || !errors.Is(err, queue.ErrInDoubt) {
				t.Fatal(added, err)
			}
			want(t, list(t, q, queue.Filter{ID: "a"}), "[a/0 a/1 a/2]", "what is stored")
			if repeat {
				jobs, added, err := q.EnqueueLeased(t.Context(), entry("a", nil, "a.example", "b.example", "c.example"), lease(deafHolder, 0, 1))
				if len(jobs) > 0 || added || err != nil {
					t.Error(keys(jobs), added, err)
				}
			}
			want(t, keys(due(t, q, 0)), "[a/2]", "what is claimable before the next Beat")
			for range 2 { // what is claimed after the first is not ended by the second
				_, err = q.Beat(t.Context(), deafHolder, time.Hour, nil)
				must(t, err)
				claimed := due(t, q, 0)
				for _, j := range claimed {
					if j.Lapses != 0 {
						t.Errorf("%s has lapsed", j.Key)
					}
					defer deliver(t, q, j)
				}
				kept = append(kept, claimed...)
			}
			want(t, keys(kept), "[kept/0 a/0 a/1]", "what is leased in the end")
		})
	}
}
