package schedule

import (
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

// request is a claim under way, with the lanes it asks, one for each Take.
type request struct {
	Claim
	lanes []*lane
	ahead ahead
	parts []part // of the site that is being asked
}

// part is how many first attempts, or retries, of a tenant a site is asked for.
type part struct {
	again  int
	tenant string
	n      int
}

// part returns what is asked for so far, nil if that is nothing.
func (r *request) part(again int, tenant string) *part {
	for i := range r.parts {
		if k := &r.parts[i]; k.again == again && k.tenant == tenant {
			return k
		}
	}
	return nil
}

// claim makes the next claim, if there is one to make: expired jobs first, then the sites that want jobs. One is under way at
// a time, so that slots are counted once and, when there is much to do, one claim is for many.
func (s *State) claim(now time.Time) *Claim {
	if s.draining || s.asked != nil || !s.mayBegin() {
		return nil
	}
	if !s.resume.IsZero() {
		if s.pause > 0 || s.listed() < fullClaim {
			return nil
		}
		s.resume = time.Time{}
	}
	r := s.claimExpired(now)
	if r == nil {
		r = s.claimLanes(now)
	}
	s.asked = r
	if r == nil {
		return nil
	}
	return &r.Claim
}

func (s *State) claimExpired(now time.Time) *request {
	if s.expiry.IsZero() || s.expiry.After(now) || s.expiring >= maxExpiring {
		return nil
	}
	return &request{Claim: Claim{Take: []queue.Take{}, Expired: true, Limit: maxExpiring - s.expiring}}
}

func (s *State) claimLanes(now time.Time) *request {
	r := &request{}
	for len(r.lanes) < maxTakes {
		p := s.openTurns.next([3]bool{len(s.open[0]) > 0, len(s.open[1]) > 0, len(s.open[2]) > 0})
		if p < 0 {
			break
		}
		st := s.open[p][0]
		s.open[p][0] = nil
		s.open[p] = s.open[p][1:]
		st.listed[p] = false
		s.touch(st) // it may want more, or have to wait for room, now that others were faster
		if n := s.wants(now, st, p); n > 0 {
			s.ask(now, r, st, p, n)
		}
	}
	if len(r.lanes) == 0 {
		return nil
	}
	for _, t := range r.Take {
		r.Limit += t.N
	}
	return r
}

// listed is how many sites want jobs, each once for each priority.
func (s *State) listed() int { return len(s.open[0]) + len(s.open[1]) + len(s.open[2]) }

// list lists the site for claims of what it has ready and could use. If there is no room for its first connection, it waits for
// that, and somebody who is idle makes room.
func (s *State) list(now time.Time, st *site) (actions []Action) {
	for p := range st.lines {
		if st.ready(p) && !st.listed[p] && s.wants(now, st, p) > 0 {
			st.listed[p] = true
			s.open[p] = append(s.open[p], st)
		}
	}
	if p, _ := st.best(); p == len(st.lines) || st.workers > 0 || st.shareless() || s.free(now, st) > 0 || st.blocked {
		return nil
	}
	if s.shorten(now, st) && len(s.workers) >= s.config.Total {
		return s.makeRoom(now)
	}
	return nil
}

// wants is how many more jobs of a priority a site can use: one for each connection that is free or can be opened, and one for each
// that is busy, so that it need not wait for a claim; not for those of a stranger, which may be dead. Other priorities don't
// count: whose turn it is is decided when a connection is free.
func (s *State) wants(now time.Time, st *site, p int) int {
	room, most := s.uses(now, st, 1)
	have := st.held(p) + st.asked[p]
	if have >= min(room, most) && 2*have > most {
		return 0 // enough for a while: fewer claims, for more jobs each
	}
	return most - have
}

// uses is for how many jobs there are connections that are free or can be opened, and how many a site can use in all if each
// connection has so many ahead while it is busy.
func (s *State) uses(now time.Time, st *site, ahead int) (room, most int) {
	if until, _ := st.window.pausedUntil(now); until.After(now) || st.shareless() {
		return 0, 0
	}
	room = len(st.idle) + soon(st.rate.connections, st.connectionRate(), now, s.free(now, st))
	most = room
	if st.known {
		most += ahead*st.workers - len(st.idle)
	}
	return room, soon(st.rate.messages, st.window.limits(now, st.limits).MessageRate, now, most)
}

// soon is how many, of n, a rate lets go before patience is over. What is claimed waits in hand, where nobody else can change it,
// so that it isn't to be more.
func soon(b shaping.Bucket, r shaping.Rate, now time.Time, n int) int {
	if r == (shaping.Rate{}) {
		return n
	}
	for i := range n {
		if b.Next(r, now).Sub(now) > patience {
			return i
		}
		b.Take(r, now)
	}
	return n
}

// ask asks for n jobs of one priority of a site: first attempts and retries by their turns, tenants by their shares, and evenly
// of each tenant's lanes.
func (s *State) ask(now time.Time, r *request, st *site, p, n int) {
	r.parts = r.parts[:0]
	for range n {
		q := turn(&st.again[p], !st.lines[p][0].empty(), !st.lines[p][1].empty())
		if q < 0 {
			break
		}
		l := &st.lines[p][q]
		tenant := l.top().tenant
		if !r.ahead.take(&s.meters, s.policy, tenant, now) {
			if r.part(q, tenant) != nil {
				break // what is left is for another claim
			}
			for _, lane := range l.drop(tenant) {
				s.enlist(now, lane) // where it waits for its rate
			}
			continue
		}
		l.charge(tenant, 1/s.policy.Weight(tenant))
		if k := r.part(q, tenant); k != nil {
			k.n++
		} else {
			r.parts = append(r.parts, part{q, tenant, 1})
		}
	}
	for _, k := range r.parts {
		s.askTenant(r, st, p, k)
	}
	s.promise(st, max(min(st.expected()-len(st.idle), s.free(now, st)), 0))
}

// turn is a turns between two.
func turn(t *turns, first, second bool) int { return t.next([3]bool{first, second}) }

// askTenant divides a tenant's part among its lanes that have waited longest.
func (s *State) askTenant(r *request, st *site, p int, k part) {
	l, tenant, n := &st.lines[p][k.again], k.tenant, k.n
	sh := l.shares[tenant]
	if sh == nil || len(sh.items) == 0 || len(r.lanes) == maxTakes {
		l.charge(tenant, -float64(n)/s.policy.Weight(tenant))
		return
	}
	m := min(n, len(sh.items), maxTakes-len(r.lanes))
	for i, lane := range l.take(tenant, m) {
		k := n / m
		if i < n%m {
			k++
		}
		lane.place = asked
		r.lanes = append(r.lanes, lane)
		r.Take = append(r.Take, queue.Take{Lane: lane.Lane, N: k})
		st.asked[p] += k
	}
}

// claimed takes the answer to the claim under way.
func (s *State) claimed(now time.Time, e Claimed) (actions []Action) {
	r := s.asked
	if r == nil {
		return nil
	}
	s.asked = nil
	s.ripen(now) // before the lanes of the claim queue up again: they have had their turn
	if e.Err != nil {
		s.pause = min(max(2*s.pause, minPause), maxPause)
		s.resume = now.Add(s.pause)
	} else {
		s.pause, s.resume = 0, rested(now, e)
	}
	if r.Expired {
		for _, j := range e.Jobs {
			s.expiring++
			s.unsettled[j.Key] = true
			actions = append(actions, Expire{j})
		}
		if e.Err == nil {
			s.expiry = earliest(e.Next, s.expires)
		}
	} else {
		actions = s.place(now, r, e)
	}
	s.expires = time.Time{}
	return actions
}

// rested is when the next claim may come after one that took its time and left little behind: such have a fifth of the time at most.
// To ask a server for ten jobs costs nearly what it costs to ask for fifty, and that is taken from what delivers them. A rest ends
// when enough sites wait for the next claim.
func rested(now time.Time, e Claimed) time.Time {
	more := 0
	for _, next := range e.Lanes {
		if !next.IsZero() && !next.After(now) {
			more++
		}
	}
	if e.Took < minRest || 2*more > len(e.Lanes) {
		return time.Time{}
	}
	return now.Add(min(4*e.Took, maxRest))
}

// place puts the claimed jobs in the hands of their sites, and the lanes where they belong now.
func (s *State) place(now time.Time, r *request, e Claimed) (actions []Action) {
	for _, j := range e.Jobs {
		l := j.Lane()
		if l := s.lanes[l]; l != nil {
			l.got++
		}
		actions = append(actions, s.receive(now, j, &l)...)
	}
	for i, l := range r.lanes {
		st, n := l.site, r.Take[i].N
		line := st.line(&l.Lane)
		st.asked[rank(l.Priority)] -= n
		line.charge(l.Tenant, -float64(n-l.got)/s.policy.Weight(l.Tenant))
		s.touch(st)
		next := earliest(answered(e, i), l.arrived)
		l.arrived, l.got = time.Time{}, 0
		switch {
		case e.Err != nil:
			s.enlist(now, l)
		case next.IsZero():
			s.forget(l)
		case next.After(now):
			s.wait(l, next)
		default:
			s.enlist(now, l)
		}
		line.back(l.Tenant)
	}
	return actions
}

// answered is what a claim's answer says of when a lane has something next; zero: never.
func answered(e Claimed, i int) time.Time {
	if i < len(e.Lanes) {
		return e.Lanes[i]
	}
	return time.Time{}
}

// receive puts a claimed job in the hand of its site, unless its sender or sending address has had enough for now, or it is
// to be kept back.
func (s *State) receive(now time.Time, j *queue.Job, l *queue.Lane) []Action {
	st := s.site(s.laneSite(l))
	if s.draining {
		return []Action{s.giveUp(j, time.Time{})}
	}
	if p := s.pausedJob(now, st.name, j, l); p != nil {
		return []Action{s.keep(now, p, st.name, j)}
	}
	if due := s.meters.take(s.policy, j, s.config.Source(j), now); due.After(now) {
		return []Action{s.giveUp(j, due)}
	}
	s.meters.takeTenant(s.policy, l.Tenant, now)
	st.put(j)
	s.touch(st)
	return nil
}
