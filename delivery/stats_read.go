package delivery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
)

// Stats returns the figures of this moment. What isn't known, because Run doesn't run or the queue doesn't tell, is zero. It may be
// called every few seconds however much waits: it looks at lanes and sites, not at jobs, as far as the queue does. If the queue
// fails or ctx ends, the error says so, and the figures are those that could be had: the counters in any case.
func (s *Sender) Stats(ctx context.Context) (Stats, error) {
	now := s.now()
	st := Stats{Time: now, Concurrency: s.config.Concurrency, Holders: int(s.holders.Load()), Rules: s.rules.Load().shown(now)}
	s.counters.read(time.Now(), &st)
	known := &schedule.Snapshot{}
	st.Running = s.tell(ctx, func(r *run) { *known = r.state.Snapshot(r.now()) })
	st.setState(known)
	err := ctx.Err()
	if q, ok := s.queue.(queue.Depths); ok && err == nil {
		err = guard(func() error { return st.readLanes(ctx, q, known) })
	}
	if err != nil {
		return st, fmt.Errorf("delivery: reading figures: %w", err)
	}
	return st, nil
}

// setState fills in what the scheduler knows.
func (st *Stats) setState(n *schedule.Snapshot) {
	st.Connections, st.Opening, st.Idle, st.Unsettled = n.Connections, n.Opening, n.Idle, n.Unsettled
	for i := range n.Sites {
		site := siteStats(&n.Sites[i])
		st.InHand += site.InHand
		if !site.PausedUntil.IsZero() {
			st.Paused++
		}
		st.Sites = append(st.Sites, site)
	}
	slices.SortFunc(st.Sites, func(a, b SiteStats) int { return cmp.Compare(a.Name, b.Name) })
}

func siteStats(n *schedule.Site) SiteStats {
	s := SiteStats{
		Name: n.Name, Limits: n.Limits, Slowed: n.Slowed, Window: n.Window, Share: n.Share, Connections: n.Connections, Greeted: n.Greeted,
		Idle: n.Idle, InHand: n.InHand, Ready: n.Ready, PausedUntil: n.PausedUntil, Why: n.Why,
		Delivered: n.Said.Delivered, Deferred: n.Said.Deferred, Uncertain: n.Said.Uncertain, Failed: n.Said.Failed,
	}
	if len(n.Said.Codes) > 0 {
		s.Replies = make(map[int]uint64, len(n.Said.Codes))
		for _, c := range n.Said.Codes {
			s.Replies[c.Code] = c.N
		}
	}
	return s
}

// readLanes fills in what the queue tells, or as much of it as it does.
func (st *Stats) readLanes(ctx context.Context, q queue.Depths, known *schedule.Snapshot) error {
	st.Lanes = slices.Grow(st.Lanes, known.Lanes)
	for d, err := range q.Depths(ctx, st.Time) {
		if err != nil {
			st.Depth, st.Lanes = Depth{}, nil // some of it would pass for all of it
			return err
		}
		l := LaneStats{
			Domain: d.Lane.Domain, Tenant: d.Lane.Tenant, Priority: d.Lane.Priority, Retry: d.Lane.Retry,
			Paused: known.Kept[d.Lane],
			Depth:  Depth{Waiting: d.Waiting, Leased: d.Leased, Held: d.Held, Oldest: d.Due},
		}
		if st.Running {
			l.Site = cmp.Or(known.SiteOf[l.Domain], l.Domain)
		}
		st.Lanes = append(st.Lanes, l)
		st.Depth.add(&l.Depth)
	}
	st.DepthKnown = true
	return nil
}

func (d *Depth) add(o *Depth) {
	d.Waiting += o.Waiting
	d.Leased += o.Leased
	d.Held += o.Held
	if d.Oldest.IsZero() || !o.Oldest.IsZero() && o.Oldest.Before(d.Oldest) {
		d.Oldest = o.Oldest
	}
}

// shown returns the rules in force, the oldest first, as anybody may see them: without what relays are logged in to with.
func (r *rules) shown(now time.Time) (list []Rule) {
	for _, rule := range r.list {
		if rule.over(now) {
			continue
		}
		rule.Via = redacted(rule.Via)
		list = append(list, rule)
	}
	slices.SortStableFunc(list, func(a, b Rule) int { return a.Set.Compare(b.Set) })
	return list
}

// said is what the dialogue of an attempt has heard, for the site's figures.
func (t *try) said() (tally schedule.Tally) {
	for i := range t.Results {
		res := &t.Results[i]
		if !res.Tried {
			continue
		}
		if isReply(&res.Reply) {
			tally.Reply(res.Reply.Code, 1)
		}
		switch {
		case t.crowded(): // that says nothing about a recipient
		case res.Verdict.Outcome == retry.Delivered:
			tally.Delivered++
		case res.Verdict.Outcome == retry.Permanent:
			tally.Failed++
		case res.Verdict.Outcome == retry.Uncertain:
			tally.Uncertain++
		default:
			tally.Deferred++
		}
	}
	return tally
}
