package delivery_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

// pool is a queue that several processes share. It gives what can't be divided to each in turn.
type pool struct {
	*memqueue.Queue

	mu     sync.Mutex    // guards what follows
	ahead  time.Duration // of the clock of the machines
	beats  map[string]*poolBeat
	leased map[queue.Key]*queue.Job // by whom: the holder in leasers
	holder map[queue.Key]string
	freed  map[queue.Key]queue.Token // whose lease was freed since
	users  []*user
	claims []time.Time // the Now of each
}

type poolBeat struct {
	until time.Time
	want  map[string]queue.Slots
	have  map[string]int
}

// user is a process's way to the pool.
type user struct {
	*pool
	wake chan struct{}

	mu   sync.Mutex // guards what follows
	away bool       // the process can't reach it
}

func newPool() *pool {
	return &pool{
		Queue: memqueue.New(), beats: make(map[string]*poolBeat), leased: make(map[queue.Key]*queue.Job),
		holder: make(map[queue.Key]string), freed: make(map[queue.Key]queue.Token),
	}
}

func (p *pool) user() *user {
	u := &user{pool: p, wake: make(chan struct{}, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users = append(p.users, u)
	return u
}

// cut takes the queue away from a process, or gives it back.
func (u *user) cut(away bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.away = away
}

var errAway = errors.New("no connection to the database")

func (u *user) reach() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.away {
		return errAway
	}
	return nil
}

// now is called without a lock.
func (p *pool) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clock()
}

func (p *pool) clock() time.Time { return time.Now().Add(p.ahead).Round(0) }

func (p *pool) set(ahead time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ahead = ahead
}

// claimed returns the times of the claims since it was last called.
func (p *pool) claimed() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	claims := p.claims
	p.claims = nil
	return claims
}

func (u *user) Now(context.Context) (time.Time, error) { return u.pool.now(), u.reach() }

func (u *user) Wake(ctx context.Context) <-chan struct{} {
	out := make(chan struct{}, 1)
	go func() {
		defer close(out)
		for {
			select {
			case <-u.wake:
				select {
				case out <- struct{}{}:
				default:
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (u *user) Enqueue(ctx context.Context, e *queue.Entry) (bool, error) {
	if err := u.reach(); err != nil {
		return false, err
	}
	added, err := u.Queue.Enqueue(ctx, e)
	u.pool.mu.Lock()
	defer u.pool.mu.Unlock()
	u.announce()
	return added, err
}

func (u *user) EnqueueLeased(ctx context.Context, e *queue.Entry, l queue.LeaseRequest) (leased []*queue.Job, added bool, err error) {
	if err := u.reach(); err != nil {
		return nil, false, err
	}
	u.pool.mu.Lock()
	defer u.pool.mu.Unlock()
	leased, added, err = u.Queue.EnqueueLeased(ctx, e, l)
	u.lend(leased, l.Holder)
	u.announce()
	return leased, added, err
}

// lend notes who has leased jobs.
func (p *pool) lend(jobs []*queue.Job, holder string) {
	for _, j := range jobs {
		p.leased[j.Key], p.holder[j.Key] = j.Clone(), holder
		delete(p.freed, j.Key)
	}
}

// announce wakes the others.
func (u *user) announce() {
	for _, o := range u.users {
		if o != u {
			select {
			case o.wake <- struct{}{}:
			default:
			}
		}
	}
}

func (u *user) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	if err := u.reach(); err != nil {
		return queue.Claimed{}, err
	}
	u.pool.mu.Lock()
	defer u.pool.mu.Unlock()
	c, err := u.Queue.Claim(ctx, r)
	u.claims = append(u.claims, r.Now)
	u.lend(c.Jobs, r.Holder)
	return c, err
}

// Commit gives a lease that was freed back to its holder if nobody has claimed the job since.
func (u *user) Commit(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
	if err := u.reach(); err != nil {
		return err
	}
	u.pool.mu.Lock()
	defer u.pool.mu.Unlock()
	if u.freed[j.Key] == j.Token && j.Token != 0 {
		c, err := u.Queue.Claim(ctx, queue.ClaimRequest{Now: u.clock(), Lease: time.Minute, Limit: 1, Keys: []queue.Key{j.Key}})
		if err != nil || len(c.Jobs) == 0 {
			return errors.Join(queue.ErrLeaseLost, err)
		}
		j = j.Clone()
		j.Token = c.Jobs[0].Token
	}
	return u.Queue.Commit(ctx, j, more...)
}

func (u *user) Beat(ctx context.Context, holder string, ttl time.Duration, want map[string]queue.Slots) (map[string]int, error) {
	if err := u.reach(); err != nil {
		return nil, err
	}
	u.pool.mu.Lock()
	defer u.pool.mu.Unlock()
	now := u.clock()
	for name, b := range u.beats {
		if name != holder && !b.until.After(now) {
			delete(u.beats, name)
			u.free(ctx, name)
		}
	}
	b := &poolBeat{until: now.Add(ttl), want: maps.Clone(want), have: make(map[string]int)}
	u.beats[holder] = b
	for site, mine := range want {
		names, most, others := []string{}, 0, 0
		for name, o := range u.beats {
			if o.want[site].Want > 0 {
				names, most = append(names, name), max(most, o.want[site].Want)
			}
			if name != holder {
				others += max(o.have[site], o.want[site].Used)
			}
		}
		if mine.Want == 0 {
			continue
		}
		turn := func(name string) uint64 {
			sum := sha256.Sum256([]byte(site + name + now.Truncate(5*time.Minute).String()))
			return binary.BigEndian.Uint64(sum[:])
		}
		slices.SortFunc(names, func(a, b string) int {
			if turn(a) < turn(b) {
				return -1
			}
			return 1
		})
		part := most / len(names)
		if slices.Index(names, holder) < most%len(names) {
			part++
		}
		b.have[site] = max(0, min(part, mine.Want, most-others))
	}
	return b.have, nil
}

// free ends the leases of a holder.
func (p *pool) free(ctx context.Context, holder string) {
	for key, j := range p.leased {
		if p.holder[key] != holder {
			continue
		}
		if p.Queue.Commit(ctx, j) == nil { // as it was claimed
			p.freed[key] = j.Token
		}
		delete(p.leased, key)
	}
}
