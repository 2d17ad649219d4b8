package schedule

import (
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

// maxMeters bounds the senders, tenants and addresses whose rates are counted at once. One that is forgotten may have its
// burst again.
const maxMeters = 100_000

// meters count what tenants, senders and sending addresses have had of their rates.
type meters struct {
	tenants, senders, sources map[string]*meter
	shared                    bool // with other processes, ...
	parts                     int  // ... of whose RateParts so many are this one's
}

// ours is what this process has of a rate.
func (m *meters) ours(r shaping.Rate) shaping.Rate {
	if !m.shared {
		return r
	}
	return partOf(r, m.parts, RateParts)
}

// meter is one rate's state. plan runs ahead of the bucket: to what time jobs were already sent back.
type meter struct {
	shaping.Bucket
	plan time.Time
}

func of(m *map[string]*meter, name string) *meter {
	if *m == nil || len(*m) >= maxMeters {
		*m = make(map[string]*meter)
	}
	t := (*m)[name]
	if t == nil {
		t = &meter{}
		(*m)[name] = t
	}
	return t
}

// replan forgets what was planned by other rates.
func (m *meters) replan() {
	for _, of := range []map[string]*meter{m.senders, m.sources} {
		for _, t := range of {
			t.plan = time.Time{}
		}
	}
}

// tenant is when a tenant may have another job; now or before if it may now.
func (m *meters) tenant(p *shaping.Policy, tenant string, now time.Time) time.Time {
	r := m.ours(p.TenantRate(tenant))
	if r == (shaping.Rate{}) {
		return time.Time{}
	}
	return of(&m.tenants, tenant).Next(r, now)
}

// takeTenant counts a job of a tenant.
func (m *meters) takeTenant(p *shaping.Policy, tenant string, now time.Time) {
	if r := m.ours(p.TenantRate(tenant)); r != (shaping.Rate{}) {
		of(&m.tenants, tenant).Take(r, now)
	}
}

// ahead are tenants' rates with what a claim asks for. That counts for the rates themselves when it comes: there may be less.
type ahead map[string]*shaping.Bucket

// take counts a job of a tenant, if it may have one now.
func (a *ahead) take(m *meters, p *shaping.Policy, tenant string, now time.Time) bool {
	r := m.ours(p.TenantRate(tenant))
	if r == (shaping.Rate{}) {
		return true
	}
	if *a == nil {
		*a = make(ahead)
	}
	b := (*a)[tenant]
	if b == nil {
		copied := of(&m.tenants, tenant).Bucket
		b = &copied
		(*a)[tenant] = b
	}
	if b.Next(r, now).After(now) {
		return false
	}
	b.Take(r, now)
	return true
}

// take counts a job of a sender, to go out by a sending address. If that is too soon for either it counts nothing, and returns
// when the job is to come back: each such job a turn later.
func (m *meters) take(p *shaping.Policy, j *queue.Job, source string, now time.Time) time.Time {
	sender, rate := p.SenderRate(j.Message.From)
	whole := [2]shaping.Rate{rate, p.SourceRate(source)}
	rates := [2]shaping.Rate{m.ours(whole[0]), m.ours(whole[1])}
	var met [2]*meter
	if rates[0] != (shaping.Rate{}) {
		met[0] = of(&m.senders, sender)
	}
	if rates[1] != (shaping.Rate{}) {
		met[1] = of(&m.sources, source)
	}
	var due time.Time
	for i, t := range met {
		if t == nil {
			continue
		}
		if next := t.Next(rates[i], now); next.After(now.Add(t.slack(rates[i], j.Due))) {
			due = later(due, t.postpone(whole[i], next)) // others may send it then
		}
	}
	if !due.IsZero() {
		return due
	}
	for i, t := range met {
		if t != nil {
			t.Take(rates[i], now)
		}
	}
	return time.Time{}
}

// postpone returns when the next job to be sent back is to come back: next, or a turn after the one before.
func (m *meter) postpone(r shaping.Rate, next time.Time) time.Time {
	m.plan = later(next, m.plan.Add(turnOf(r)))
	return m.plan
}

// slack is how much too early a job that was due then may come: none, or, if it may have been sent back, half a turn. One that
// came a little late makes those after it too early by as much, and they must not go to the end of the plan for that. The rate
// holds all the same, as each counts for a whole turn.
func (m *meter) slack(r shaping.Rate, due time.Time) time.Duration {
	if due.After(m.plan) {
		return 0
	}
	return min(turnOf(r)/2, time.Second)
}

// turnOf is the time that one job counts for, rounded up as the bucket does.
func turnOf(r shaping.Rate) time.Duration { return (r.Per-1)/time.Duration(max(r.N, 1)) + 1 }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
