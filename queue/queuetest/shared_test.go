package queuetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// pool is what several users have in common: a queue in memory of the simplest kind, and what [queue.Waker] and [queue.Shared]
// take besides.
type pool struct {
	mu      sync.Mutex
	jobs    []*queue.Job // with Token and Leased of the latest claim
	spent   map[queue.Key]queue.Token
	holders map[queue.Key]string // of the latest claim
	bodies  map[queue.ID][]byte
	digests map[queue.ID][32]byte
	token   queue.Token
	mark    queue.Mark
	beats   map[string]*beat
	wakes   map[chan struct{}]*user
}

// beat is what a holder said last.
type beat struct {
	until time.Time
	want  map[string]queue.Slots
	have  map[string]int
}

// user is one process's view of a pool. What is not nil replaces a method.
type user struct {
	*pool
	wake  func(context.Context) <-chan struct{}
	now   func() time.Time
	beat  func(holder string, ttl time.Duration, want map[string]queue.Slots) map[string]int
	claim func()                    // comes before Claim does anything
	lease func(*queue.LeaseRequest) // comes before EnqueueLeased stores anything
}

var (
	_ queue.Leaser = (*user)(nil)
	_ queue.Waker  = (*user)(nil)
	_ queue.Shared = (*user)(nil)
)

func newUser() *user {
	return &user{pool: &pool{
		spent: map[queue.Key]queue.Token{}, holders: map[queue.Key]string{}, bodies: map[queue.ID][]byte{},
		digests: map[queue.ID][32]byte{}, beats: map[string]*beat{}, wakes: map[chan struct{}]*user{},
	}}
}

func (u *user) Enqueue(ctx context.Context, e *queue.Entry) (bool, error) {
	body, err := read(ctx, e)
	if err != nil {
		return false, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	known, err := u.known(e)
	if known || err != nil {
		return false, err
	}
	u.put(e, body)
	return true, nil
}

func read(ctx context.Context, e *queue.Entry) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := e.Check(); err != nil {
		return nil, err
	}
	return e.ReadAll(ctx)
}

func (p *pool) known(e *queue.Entry) (bool, error) {
	d, ok := p.digests[e.Message.ID]
	if ok && d != e.Message.Digest {
		return true, queue.ErrConflict
	}
	return ok, nil
}

func (u *user) put(e *queue.Entry, body []byte) {
	m, jobs := e.Stored(int64(len(body)))
	u.digests[m.ID], u.bodies[m.ID] = m.Digest, body
	for _, j := range jobs {
		u.give(j)
	}
	u.jobs = append(u.jobs, jobs...)
	for c, owner := range u.wakes {
		if owner != u {
			select {
			case c <- struct{}{}:
			default: // it will wake up anyway
			}
		}
	}
}

func (p *pool) give(j *queue.Job) { j.GiveMarks(func() queue.Mark { p.mark++; return p.mark }) }

func (u *user) EnqueueLeased(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) (leased []*queue.Job, added bool, err error) {
	body, err := read(ctx, e)
	if err != nil {
		return nil, false, err
	}
	numbers, err := l.Named(e)
	if err != nil {
		return nil, false, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if known, err := u.known(e); known || err != nil {
		return nil, false, err
	}
	if u.lease != nil {
		u.lease(&l)
	}
	u.put(e, body)
	for _, j := range u.jobs[len(u.jobs)-len(e.Jobs):] {
		if slices.Contains(numbers, j.Key.N) && j.Finished.IsZero() && !j.Held && !j.Due.After(l.Now) {
			leased = append(leased, u.leased(j, l.Now.Add(l.Lease), l.Holder))
		}
	}
	return leased, true, nil
}

func (u *user) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	if err := ctx.Err(); err != nil {
		return queue.Claimed{}, err
	}
	if r.Lease <= 0 {
		return queue.Claimed{}, queue.ErrInvalid
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.claim != nil {
		u.claim()
	}
	for _, j := range u.jobs {
		holder := u.holders[j.Key]
		if b := u.beats[holder]; holder != "" && (b == nil || b.until.Before(time.Now())) {
			j.Leased = time.Time{}
		}
	}
	c := r.Select(u.jobs)
	for i, j := range c.Jobs {
		c.Jobs[i] = u.leased(j, r.Now.Add(r.Lease), r.Holder)
	}
	return c, nil
}

func (p *pool) leased(j *queue.Job, until time.Time, holder string) *queue.Job {
	if j.Token != 0 {
		j.Lapses++
	}
	p.token++
	j.Token, j.Leased, p.holders[j.Key] = p.token, until, holder
	return j.Clone()
}

func (u *user) Commit(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := j.Check(); err != nil {
		return err
	}
	if done, err := u.owned(j); done || err != nil {
		return err
	}
	var bodies [][]byte
	for _, e := range more {
		body, err := read(ctx, e)
		if err != nil {
			return err
		}
		bodies = append(bodies, body)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if done, err := u.owned(j); done || err != nil { // much may have happened meanwhile
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, e := range more {
		if _, err := u.known(e); err != nil {
			return err
		}
		for _, before := range more[:i] {
			if before.Message.ID == e.Message.ID && before.Message.Digest != e.Message.Digest {
				return queue.ErrConflict
			}
		}
	}
	i := u.find(j.Key)
	n := u.jobs[i].Committed(j)
	u.give(n)
	u.jobs[i], u.spent[j.Key] = n, j.Token
	for i, e := range more {
		if known, _ := u.known(e); !known {
			u.put(e, bodies[i])
		}
	}
	return nil
}

func (p *pool) find(k queue.Key) int {
	return slices.IndexFunc(p.jobs, func(j *queue.Job) bool { return j.Key == k })
}

// owned reports whether j was committed before, and an error if it can't be.
func (p *pool) owned(j *queue.Job) (done bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch i := p.find(j.Key); {
	case i < 0 || j.Token == 0:
	case p.spent[j.Key] == j.Token:
		return true, nil
	case p.jobs[i].Token == j.Token:
		return false, nil
	}
	return false, fmt.Errorf("%w: %s", queue.ErrLeaseLost, j.Key)
}

func (u *user) Open(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !slices.ContainsFunc(u.jobs, func(j *queue.Job) bool { return j.Key.ID == id && j.Finished.IsZero() }) {
		return nil, queue.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(u.bodies[id])), nil
}

func (u *user) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	return func(yield func(*queue.Job, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(nil, err)
			return
		}
		u.mu.Lock()
		list := f.Select(u.jobs)
		for i, j := range list {
			list[i] = j.Clone()
			list[i].Token = 0
		}
		u.mu.Unlock()
		for _, j := range list {
			if !yield(j, nil) {
				return
			}
		}
	}
}

func (u *user) Wake(ctx context.Context) <-chan struct{} {
	if u.wake != nil {
		return u.wake(ctx)
	}
	c := make(chan struct{}, 1)
	u.mu.Lock()
	u.wakes[c] = u
	u.mu.Unlock()
	context.AfterFunc(ctx, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.wakes, c)
		close(c)
	})
	return c
}

func (u *user) Now(ctx context.Context) (time.Time, error) {
	if u.now != nil {
		return u.now(), ctx.Err()
	}
	return time.Now(), ctx.Err()
}

// Beat gives each of n holders an n-th of what the one that wants most would use, as soon as the others have it no more. What is
// left over goes round by the minute.
func (u *user) Beat(ctx context.Context, holder string, ttl time.Duration, want map[string]queue.Slots) (map[string]int, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if u.beat != nil {
		return u.beat(holder, ttl, want), nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	have := map[string]int{}
	for site, mine := range want {
		most, before, holders, others := mine.Want, 0, 1, 0
		for name, b := range u.beats {
			if name == holder || !b.until.After(now) {
				continue
			}
			others += max(b.have[site], b.want[site].Used)
			if b.want[site].Want > 0 {
				most, holders = max(most, b.want[site].Want), holders+1
				if name < holder {
					before++
				}
			}
		}
		part := most / holders
		if turn := int(now.Unix()/60) + len(site); (before+turn)%holders < most%holders {
			part++
		}
		have[site] = max(0, min(mine.Want, part, most-others))
	}
	u.beats[holder] = &beat{until: now.Add(ttl), want: want, have: have}
	return have, nil
}

// sharing is the hooks of a backend for several processes.
var sharing = bound{another: func(q queue.Queue) queue.Queue { return &user{pool: q.(*user).pool} }}

// A queue that is shared passes every case.
func TestSharedQueue(t *testing.T) {
	Run(t, func(*testing.T) queue.Queue { return newUser() },
		Reopen(func(_ *testing.T, q queue.Queue) queue.Queue { return q }),
		Another(func(_ *testing.T, q queue.Queue) queue.Queue { return sharing.another(q) }))
}
