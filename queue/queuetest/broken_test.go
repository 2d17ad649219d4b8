package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

// brokenQueue is a queue that breaks a rule.
type brokenQueue struct {
	name  string // of the case
	what  string // is wrong
	twist func(*twisted)
}

// broken lists queues that each break a rule, under the name of the case that must find it.
var broken = []brokenQueue{
	{"EnqueueConflict", "another digest is taken for the same", func(q *twisted) {
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			added, err := q.Queue.Enqueue(ctx, e)
			if errors.Is(err, queue.ErrConflict) {
				return false, nil
			}
			return added, err
		}
	}},
	{"EnqueueSameID", "a repeated message counts as added", func(q *twisted) {
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			_, err := q.Queue.Enqueue(ctx, e)
			return err == nil, err
		}
	}},
	{"EnqueueCopies", "the entry's labels are kept by reference", func(q *twisted) {
		labels := map[queue.ID][]string{}
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			labels[e.Message.ID] = e.Message.Labels
			return q.Queue.Enqueue(ctx, e)
		}
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job {
			j.Message.Labels = slices.Clone(labels[j.Key.ID])
			return j
		})
	}},
	{"EnqueueIgnores", "the entry decides about Lapses", func(q *twisted) {
		lapses := map[queue.Key]int{}
		q.entry(func(e *queue.Entry) { lapses[e.Jobs[0].Key] = e.Jobs[0].Lapses })
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job { j.Lapses = lapses[j.Key]; return j })
	}},
	{"EntryBodyFails", "half a body is stored as a whole one", func(q *twisted) {
		q.entry(func(e *queue.Entry) {
			b, _ := io.ReadAll(e.Body)
			e.Body = bytes.NewReader(b)
		})
	}},
	{"EntryHead", "Head is stored after Body", func(q *twisted) {
		q.entry(func(e *queue.Entry) {
			if head := e.Head; head != nil {
				b, _ := io.ReadAll(e.Body)
				h, _ := head()
				e.Body, e.Head = io.MultiReader(bytes.NewReader(b), bytes.NewReader(h)), nil
			}
		})
	}},
	{"EntryHeadCompletes", "Digest is looked at before Head has returned", func(q *twisted) {
		q.entry(func(*queue.Entry) {}) // Head completes the original, not the copy
	}},
	{"EntrySize", "Size is the entry's", func(q *twisted) {
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job { j.Message.Size = 1; return j })
	}},
	{"EntryBodySlow", "a lock is held while a body is read", func(q *twisted) {
		var mu sync.Mutex
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			return q.Queue.Enqueue(ctx, e)
		}
	}},
	{"EntryInvalid", "the error of Check is not wrapped", func(q *twisted) {
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			added, err := q.Queue.Enqueue(ctx, e)
			if errors.Is(err, queue.ErrInvalid) {
				err = errors.New(err.Error())
			}
			return added, err
		}
	}},
	{"EntryTimes", "times are kept to the second", func(q *twisted) {
		q.entry(func(e *queue.Entry) {
			for _, j := range e.Jobs {
				j.Due = j.Due.Truncate(time.Second)
			}
		})
	}},
	{"ClaimOwner", "a leased job is claimed again", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) { r.Lease = 1 })
	}},
	{"ClaimLeaseEnd", "a lease never ends", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) { r.Lease = 1000 * time.Hour })
	}},
	{"ClaimLapses", "lapses are not counted", func(q *twisted) {
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) {
			for _, j := range c.Jobs {
				j.Lapses = 0
			}
		})
	}},
	{"ClaimToken", "tokens are given out twice", func(q *twisted) {
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) {
			for i, j := range c.Jobs {
				j.Token = queue.Token(i + 1)
			}
		})
		q.commit = func(context.Context, *queue.Job, []*queue.Entry) error { return nil }
	}},
	{"ClaimOrder", "the lowest priority goes first", func(q *twisted) {
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) { slices.Reverse(c.Jobs) })
	}},
	{"ClaimDue", "the queue goes by its own clock", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) { r.Now = time.Now() })
	}},
	{"ClaimLimit", "one job too many is leased", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) { r.Limit++ })
	}},
	{"ClaimHeld", "held jobs are claimed", func(q *twisted) {
		q.entry(func(e *queue.Entry) { e.Jobs[0].Held = false })
	}},
	{"ClaimCopies", "a claimed job is kept by reference", func(q *twisted) {
		claimed := map[queue.Key]*queue.Job{}
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) {
			for _, j := range c.Jobs {
				claimed[j.Key] = j
			}
		})
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job {
			if c := claimed[j.Key]; c != nil {
				j.Recipients = c.Recipients
			}
			return j
		})
	}},
	{"ClaimKeys", "held jobs are not claimed by key", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) {
			r.Keys = slices.DeleteFunc(r.Keys, func(k queue.Key) bool { return k.ID == "held" })
		})
	}},
	{"ClaimConcurrently", "sometimes two claimers get one job", func(q *twisted) {
		var mu sync.Mutex
		var last *queue.Job
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) {
			mu.Lock()
			defer mu.Unlock()
			if last != nil && len(c.Jobs) == 2 {
				c.Jobs[1] = last
			}
			if len(c.Jobs) > 2 {
				last, c.Jobs[2] = c.Jobs[2], c.Jobs[1]
			}
		})
	}},
	{"TakeOrder", "lanes are taken in another order", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) { r.Take = slices.Clone(r.Take); slices.Reverse(r.Take) })
	}},
	{"TakeNumber", "N is not looked at", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) {
			r.Take = slices.Clone(r.Take)
			for i := range r.Take {
				r.Take[i].N = 100
			}
		})
	}},
	{"TakeNone", "no lanes are taken for all lanes", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) {
			if len(r.Take) == 0 {
				r.Take = nil
			}
		})
	}},
	{"ExpiredEverywhere", "Expired is not looked at", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) { r.Expired = false })
	}},
	{"ExpiredFirst", "expired jobs come last", func(q *twisted) {
		q.claimed(func(r queue.ClaimRequest, c *queue.Claimed) {
			slices.SortStableFunc(c.Jobs, func(a, b *queue.Job) int { return b.Message.Expires.Compare(a.Message.Expires) })
		})
	}},
	{"ExpiredAsked", "expired jobs are leased unasked", func(q *twisted) {
		q.request(func(r *queue.ClaimRequest) { r.Expired = true })
	}},
	{"NextDue", "Next is never set", func(q *twisted) {
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) { c.Next = time.Time{} })
	}},
	{"NextNow", "Next forgets what Limit has cut", func(q *twisted) {
		q.claimed(func(r queue.ClaimRequest, c *queue.Claimed) {
			if !c.Next.After(r.Now) {
				c.Next = time.Time{}
			}
		})
	}},
	{"NextLeaseEnd", "Next forgets the ends of leases", func(q *twisted) {
		q.claimed(func(r queue.ClaimRequest, c *queue.Claimed) {
			if c.Next.Equal(r.Now.Add(r.Lease)) {
				c.Next = time.Time{}
			}
		})
	}},
	{"NextLanes", "Lanes considers expiry", func(q *twisted) {
		q.claimed(func(r queue.ClaimRequest, c *queue.Claimed) {
			for i := range c.Lanes {
				if r.Expired && c.Lanes[i].After(c.Next) {
					c.Lanes[i] = c.Next
				}
			}
		})
	}},
	{"NextKeys", "Next is set for a request with Keys", func(q *twisted) {
		q.claimed(func(r queue.ClaimRequest, c *queue.Claimed) { c.Next = r.Now.Add(r.Lease) })
	}},
	{"CommitStale", "an old token is as good as a new one", func(q *twisted) {
		latest := map[queue.Key]queue.Token{}
		q.claimed(func(_ queue.ClaimRequest, c *queue.Claimed) {
			for _, j := range c.Jobs {
				latest[j.Key] = j.Token
			}
		})
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			c := j.Clone()
			c.Token = latest[j.Key]
			return q.Queue.Commit(ctx, c, more...)
		}
	}},
	{"CommitSpent", "a token that was ever spent settles all", func(q *twisted) {
		q.committed(func(ctx context.Context, times int, j *queue.Job, more []*queue.Entry) error {
			if times > 0 {
				return nil
			}
			return q.Queue.Commit(ctx, j, more...)
		})
	}},
	{"CommitRepeated", "a repeated commit has lost its lease", func(q *twisted) {
		q.committed(func(ctx context.Context, times int, j *queue.Job, more []*queue.Entry) error {
			if times > 0 {
				return queue.ErrLeaseLost
			}
			return q.Queue.Commit(ctx, j, more...)
		})
	}},
	{"CommitRepeated", "a repeated commit enqueues more", func(q *twisted) {
		q.committed(func(ctx context.Context, times int, j *queue.Job, more []*queue.Entry) error {
			if times > 0 {
				q.EnqueueAll(ctx, slices.Values(more))
			}
			return q.Queue.Commit(ctx, j, more...)
		})
	}},
	{"CommitNoToken", "zero is a token", func(q *twisted) {
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			if j.Token == 0 {
				return nil
			}
			return q.Queue.Commit(ctx, j, more...)
		}
	}},
	{"CommitLate", "a lease that has ended can't be committed", func(q *twisted) {
		var now time.Time
		q.request(func(r *queue.ClaimRequest) { now = r.Now })
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			if now.After(j.Leased) {
				return queue.ErrLeaseLost
			}
			return q.Queue.Commit(ctx, j, more...)
		}
	}},
	{"CommitKeeps", "the committer decides about Domain", func(q *twisted) {
		domains := map[queue.Key]string{}
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			domains[j.Key] = j.Domain
			return q.Queue.Commit(ctx, j, more...)
		}
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job {
			if d := domains[j.Key]; d != "" {
				j.Domain = d
			}
			return j
		})
	}},
	{"CommitStores", "the attempts are forgotten", func(q *twisted) {
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			c := j.Clone()
			c.Attempts = nil
			return q.Queue.Commit(ctx, c, more...)
		}
	}},
	{"MoreBodyFails", "the job is committed before its bounce", func(q *twisted) {
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			if err := q.Queue.Commit(ctx, j); err != nil {
				return err
			}
			_, err := q.EnqueueAll(ctx, slices.Values(more))
			return err
		}
	}},
	{"MoreLeaseLost", "the bounce is committed before its job", func(q *twisted) {
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			if _, err := q.EnqueueAll(ctx, slices.Values(more)); err != nil {
				return err
			}
			return q.Queue.Commit(ctx, j)
		}
	}},
	{"MoreSameID", "a bounce that is stored fails the commit", func(q *twisted) {
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			for _, e := range more {
				for range q.Queue.Jobs(ctx, queue.Filter{ID: e.Message.ID}) {
					return queue.ErrConflict
				}
			}
			return q.Queue.Commit(ctx, j, more...)
		}
	}},
	{"OpenLastJob", "the body goes with the first job", func(q *twisted) {
		q.open = func(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
			for range q.Queue.Jobs(ctx, queue.Filter{ID: id, Ended: true}) {
				return nil, queue.ErrNotFound
			}
			return q.Queue.Open(ctx, id)
		}
	}},
	{"OpenNotFound", "the body stays for ever", func(q *twisted) {
		q.open = func(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text(id))), nil
		}
	}},
	{"OpenWrites", "a reader of a body keeps writers waiting", func(q *twisted) {
		var mu sync.RWMutex
		q.open = func(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
			mu.RLock()
			rc, err := q.Queue.Open(ctx, id)
			return unlocker{rc, &mu}, err
		}
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			mu.Lock()
			defer mu.Unlock()
			return q.Queue.Commit(ctx, j, more...)
		}
	}},
	{"OpenCut", "what is left of a body is taken for all", func(*twisted) {}}, // see cut
	{"JobsOrder", "a listed job has its token", func(q *twisted) {
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job { j.Token = 1; return j })
	}},
	{"JobsPaging", "a page begins with the last job of the one before", func(q *twisted) {
		q.jobs = func(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
			f.After.N--
			return q.Queue.Jobs(ctx, f)
		}
	}},
	{"JobsFilter", "a field of the filter is not looked at", func(q *twisted) {
		q.jobs = func(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
			f.Recipient = ""
			return q.Queue.Jobs(ctx, f)
		}
	}},
	{"JobsLoopBody", "a lock is held while the loop body runs", func(q *twisted) {
		var mu sync.Mutex
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			return q.Queue.Enqueue(ctx, e)
		}
		q.jobs = func(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
			return func(yield func(*queue.Job, error) bool) {
				mu.Lock()
				defer mu.Unlock()
				q.Queue.Jobs(ctx, f)(yield)
			}
		}
	}},
	{"HeadsLeased", "leases are not considered in Heads", func(q *twisted) {
		q.jobs = func(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
			if f.Heads {
				f = queue.Filter{Limit: 1, Unfinished: true}
			}
			return q.Queue.Jobs(ctx, f)
		}
	}},
	{"EndedOrder", "what has ended is listed by key", func(q *twisted) {
		q.sorted(func(_ queue.Filter, jobs []*queue.Job) []*queue.Job {
			slices.SortFunc(jobs, func(a, b *queue.Job) int { return a.Key.Compare(b.Key) })
			return jobs
		})
	}},
	{"EndedMovesUp", "a job is listed as ended only once", func(q *twisted) {
		listed := map[queue.Key]bool{}
		q.listed(func(f queue.Filter, j *queue.Job) *queue.Job {
			if f.Ended && f.Since > 0 && listed[j.Key] {
				return nil
			}
			listed[j.Key] = true
			return j
		})
	}},
	{"EndedConcurrently", "a mark is seen before an earlier one", func(q *twisted) {
		q.sorted(func(f queue.Filter, jobs []*queue.Job) []*queue.Job {
			if f.Ended && len(jobs) > 1 {
				jobs = slices.Delete(jobs, len(jobs)-2, len(jobs)-1)
			}
			return jobs
		})
	}},
	{"EndedFinal", "a failed recipient has a mark", func(q *twisted) {
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job {
			for i := range j.Recipients {
				if j.Recipients[i].State == queue.Failed {
					j.Recipients[i].Mark = 99
				}
			}
			return j
		})
	}},
	{"ContextEnded", "a ctx that has ended is not looked at", func(q *twisted) {
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			return q.Queue.Commit(context.WithoutCancel(ctx), j, more...)
		}
	}},
	{"ContextEnqueue", "a message that is stored is said not to be", func(q *twisted) {
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			if added, err := q.Queue.Enqueue(context.WithoutCancel(ctx), e); ctx.Err() == nil {
				return added, err
			}
			return false, ctx.Err()
		}
	}},
	{"ContextReading", "a body is read on when ctx has ended", func(q *twisted) {
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			return q.Queue.Enqueue(context.WithoutCancel(ctx), e)
		}
	}},
	{"Closed", "a closed queue goes on", func(q *twisted) { q.close = func() error { return nil } }},
	{"ReopenStored", "what was stored is lost", func(*twisted) {}}, // see reopen
	{"BulkStops", "what comes after a bad entry is stored", func(q *twisted) {
		q.enqueueAll = func(ctx context.Context, es iter.Seq[*queue.Entry]) (durable int, first error) {
			for e := range es {
				if _, err := q.Queue.Enqueue(ctx, e); err != nil && first == nil {
					first = err
				} else if first == nil {
					durable++
				}
			}
			return durable, first
		}
	}},
	{"NotesSet", "an empty note is none", func(q *twisted) {
		q.set = func(ctx context.Context, key string, value []byte) error {
			if len(value) == 0 {
				value = nil
			}
			return q.Queue.Set(ctx, key, value)
		}
	}},
	{"TakeDue", "the queue panics", func(q *twisted) {
		q.request(func(*queue.ClaimRequest) { panic("claim") })
	}},
}

// unlocker gives up a lock when a body is closed.
type unlocker struct {
	io.ReadCloser
	mu *sync.RWMutex
}

func (u unlocker) Close() error {
	u.mu.RUnlock()
	return u.ReadCloser.Close()
}

// forgetful is the hooks of a backend that takes half a body for a whole one, and forgets everything.
var forgetful = bound{
	reopen: func(queue.Queue) queue.Queue { return memqueue.New() },
	cut: func(q queue.Queue, id queue.ID) queue.Queue {
		t := q.(*twisted)
		t.open = func(ctx context.Context, open queue.ID) (io.ReadCloser, error) {
			rc, err := t.Queue.Open(ctx, open)
			if err == nil && open == id {
				rc = io.NopCloser(io.LimitReader(rc, 1000))
			}
			return rc, err
		}
		return q
	},
}

// A queue that breaks a rule fails the case that checks it, and one that hangs fails like others.
func TestBrokenQueues(t *testing.T) {
	named := map[string]testCase{}
	for _, c := range cases() {
		named[c.name] = c
	}
	for _, b := range slices.Concat(broken, brokenFull) {
		t.Run(fmt.Sprintf("%s: %s", b.name, b.what), func(t *testing.T) {
			t.Parallel()
			c, ok := named[b.name]
			if !ok {
				t.Fatalf("there is no case %s", b.name)
			}
			q := &twisted{Queue: memqueue.New()}
			b.twist(q)
			hooks := forgetful
			hooks.full = func(messages int) queue.Queue {
				q.MaxMessages = messages
				return q
			}
			r := c.play(q, hooks, 2*time.Second)
			if len(r.failures) == 0 {
				t.Errorf("a queue passes the case %s though %s", b.name, b.what)
			}
			for _, f := range r.failures {
				t.Log(f)
			}
		})
	}
}

// The reference queue passes every case, also those that need options.
func TestGoodQueue(t *testing.T) {
	Run(t, func(t *testing.T) queue.Queue { return memqueue.New() },
		Full(func(_ *testing.T, messages int) queue.Queue {
			q := memqueue.New()
			q.MaxMessages = messages
			return q
		}),
		Reopen(func(_ *testing.T, q queue.Queue) queue.Queue { return q }),
		Cut(func(_ *testing.T, q queue.Queue, id queue.ID) queue.Queue {
			t := &twisted{Queue: q.(*memqueue.Queue)}
			t.open = func(ctx context.Context, open queue.ID) (io.ReadCloser, error) {
				rc, err := t.Queue.Open(ctx, open)
				if err == nil && open == id {
					rc = io.NopCloser(io.MultiReader(io.LimitReader(rc, 1000), failing{}))
				}
				return rc, err
			}
			return t
		}))
}

// failing is the end of a body that was cut.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Names of cases are unique, and rules are sentences.
func TestCases(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cases() {
		if seen[c.name] {
			t.Errorf("two cases are named %s", c.name)
		}
		seen[c.name] = true
		if !strings.HasSuffix(c.rule, ".") || len(c.rule) < 20 {
			t.Errorf("the rule of %s is not a sentence: %q", c.name, c.rule)
		}
	}
	if len(seen) < 40 {
		t.Errorf("there are %d cases, want at least 40", len(seen))
	}
}
