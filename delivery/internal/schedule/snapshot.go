package schedule

import (
	"maps"
	"slices"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

// Snapshot is what the State is about, for people to see.
type Snapshot struct {
	Connections int                 // workers, idle ones included
	Opening     int                 // of these, without a session so far
	Idle        int                 // with a session and nothing to do
	Unsettled   int                 // jobs that are with a worker, or not committed yet
	Lanes       int                 // that have something due or scheduled
	Sites       []Site              // in no particular order
	SiteOf      map[string]string   // of a domain; one that is not there is a site of its own
	Kept        map[queue.Lane]bool // lanes with something due that a pause of the host program's keeps back
}

// Site is what is known of a site.
type Site struct {
	Name        string
	Limits      shaping.Limits // in force
	Slowed      []string       // the rules for replies by which they are lower than usual
	Window      int            // connections that it may have now
	Share       int            // of the site's connections, if others use it too
	Connections int
	Greeted     int // of these, with a session
	Idle        int
	InHand      int // jobs that are claimed and wait for a connection
	Ready       int // lanes that have something due
	PausedUntil time.Time
	Why         string
	Said        Tally // since it is known
}

// maxCodes bounds the codes that are counted for one site: more than any server needs.
const maxCodes = 32

// Tally counts answers, each for one recipient.
type Tally struct {
	Delivered, Deferred, Failed, Uncertain uint64
	Codes                                  []Code // each once
}

// Code is how often a server has said a reply code.
type Code struct {
	Code int
	N    uint64
}

// Reply counts n more replies of a code.
func (t *Tally) Reply(code int, n uint64) {
	for i := range t.Codes {
		if t.Codes[i].Code == code {
			t.Codes[i].N += n
			return
		}
	}
	if len(t.Codes) < maxCodes {
		t.Codes = append(t.Codes, Code{code, n})
	}
}

func (t *Tally) add(o *Tally) {
	t.Delivered += o.Delivered
	t.Deferred += o.Deferred
	t.Failed += o.Failed
	t.Uncertain += o.Uncertain
	for _, c := range o.Codes {
		t.Reply(c.Code, c.N)
	}
}

// Snapshot returns a copy of what is there now. It costs a microsecond or two for each site: what can be done without the State,
// such as sorting, is left to the caller.
func (s *State) Snapshot(now time.Time) Snapshot {
	n := Snapshot{
		Connections: len(s.workers), Opening: s.opening, Idle: s.idle.Len(), Unsettled: len(s.unsettled), Lanes: len(s.lanes),
		Sites: make([]Site, 0, len(s.sites)), SiteOf: maps.Clone(s.siteOf), Kept: make(map[queue.Lane]bool, len(s.kept)),
	}
	for _, st := range s.sites {
		n.Sites = append(n.Sites, st.snapshot(now))
	}
	for l := range s.kept {
		n.Kept[l.Lane] = true
	}
	return n
}

func (st *site) snapshot(now time.Time) Site {
	n := Site{
		Name: st.name, Window: st.window.size(now, st.limits), Limits: st.window.ordered(st.limits), Share: st.window.part, Connections: st.workers,
		Greeted: st.greeted, Idle: len(st.idle), InHand: st.inHand(), Said: st.said,
	}
	n.Said.Codes = slices.Clone(st.said.Codes)
	for i := range st.window.orders {
		n.Slowed = append(n.Slowed, st.window.orders[i].Rule)
	}
	if until, why := st.window.pausedUntil(now); until.After(now) {
		n.PausedUntil, n.Why = until, why
	}
	for p := range st.lines {
		for q := range st.lines[p] {
			for _, sh := range st.lines[p][q].order {
				n.Ready += len(sh.items)
			}
		}
	}
	return n
}

// SiteOf returns the site that a domain is known, or taken, to belong to.
func (s *State) SiteOf(domain string) string { return s.siteName(domain) }

// Sight is what is known of one job.
type Sight struct {
	Site        string // its domain's
	PausedUntil time.Time
	Why         string
	UnderWay    bool // it is with a worker, or being committed
	InHand      bool // it is claimed, and waits for a connection
}

// Look returns what is known of a job. It costs more if the job is leased.
func (s *State) Look(now time.Time, j *queue.Job) Sight {
	_, underWay := s.unsettled[j.Key]
	n := Sight{Site: s.siteName(j.Domain), UnderWay: underWay}
	if st := s.sites[n.Site]; st != nil {
		if until, why := st.window.pausedUntil(now); until.After(now) {
			n.PausedUntil, n.Why = until, why
		}
	}
	if j.Leased.After(now) && !underWay {
		for _, st := range s.sites {
			n.InHand = n.InHand || st.has(j.Key)
		}
	}
	return n
}

// has reports whether a job is in hand.
func (st *site) has(k queue.Key) bool {
	for p := range st.hand {
		for q := range st.hand[p] {
			if slices.ContainsFunc(st.hand[p][q], func(j *queue.Job) bool { return j.Key == k }) {
				return true
			}
		}
	}
	return false
}
