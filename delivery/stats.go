package delivery

import (
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
)

// Stats are the figures of a Sender at one moment: all that a metrics package or a console needs, without a hook of its own.
//
// Each field says of which kind it is in Prometheus' words. A [Counter] has a Total, which only grows from [New] on, and from there
// again after a restart; a gauge is what there is now; a [Histogram] is one. Counters count what was committed to the queue, so
// that what a crash undoes was never counted. Sites and lanes are told apart by name, of which there may be many: a metrics
// package chooses, or sums up.
//
// As JSON, times are RFC 3339, durations are as in shaping.Limits, and whatever doesn't apply is left out or zero.
type Stats struct {
	Time    time.Time `json:"time"`    // of the figures
	Since   time.Time `json:"since"`   // of the counters: when New was called. Gauge, in seconds since 1970
	Running bool      `json:"running"` // whether Run does. Gauge, 0 or 1

	// DepthKnown says whether the queue tells how deep it is, as queue.Depths. If not, Depth and Lanes are zero.
	DepthKnown bool        `json:"depth_known"`
	Depth      Depth       `json:"depth"`           // of all lanes together
	Lanes      []LaneStats `json:"lanes,omitempty"` // those with unfinished jobs, in no particular order

	// What Run holds. All is zero while it doesn't run.
	Connections int         `json:"connections"`     // idle ones, and those being made, included. Gauge
	Opening     int         `json:"opening"`         // of these, not greeted yet. Gauge
	Idle        int         `json:"idle"`            // of these, greeted and without a job. Gauge
	Unsettled   int         `json:"unsettled"`       // jobs that are being sent, or committed. Gauge
	InHand      int         `json:"in_hand"`         // jobs that were claimed and wait for a connection. Gauge
	Paused      int         `json:"paused"`          // sites that pause by themselves. Gauge
	Sites       []SiteStats `json:"sites,omitempty"` // those that are known now, by name
	Concurrency int         `json:"concurrency"`     // most connections at once, as configured, whether Run runs or not. Gauge
	// Holders is about how many processes send from the queue, this one included; 0 if that isn't known, or no other can. Gauge
	Holders int    `json:"holders,omitempty"`
	Rules   []Rule `json:"rules,omitempty"` // in force, oldest first, without the passwords of relays; those of an earlier life once Run has read them

	// What happened to messages, jobs and recipients. Reports have jobs and recipients of their own, which are counted as any.
	Enqueued  Counter `json:"enqueued"`  // messages that Enqueue has stored; neither repeated ones nor reports. Counter
	Attempts  Counter `json:"attempts"`  // at jobs. Counter
	Delivered Counter `json:"delivered"` // recipients for whom a server has taken responsibility. Counter
	Deferred  Counter `json:"deferred"`  // recipients to be tried again after an attempt, once for each. Counter
	Uncertain Counter `json:"uncertain"` // as Deferred, though the server may have taken the message. Counter
	Failed    Counter `json:"failed"`    // recipients given up after an attempt. Counter
	Expired   Counter `json:"expired"`   // recipients given up because their message's time was over. Counter
	Bounced   Counter `json:"bounced"`   // recipients given up for whatever reason, whose sender was told, or nobody is to be. Counter
	Held      Counter `json:"held"`      // jobs that came to wait for the host program: by Hold, an uncertain outcome, or lapses. Counter
	Withdrawn Counter `json:"withdrawn"` // jobs with recipients that the host program has taken back. Counter
	Lapsed    Counter `json:"lapsed"`    // jobs claimed after a lease of theirs ended without a commit. Counter
	Troubles  Counter `json:"troubles"`  // times that something of the Sender's own didn't work: its queue, a callback. Counter

	// Replies is how often servers gave each code, from 200 to 599, as the answer that decided about a recipient. Counter by code
	Replies map[int]uint64 `json:"replies,omitempty"`
	// Tries is how many attempts recipients took to be delivered, 1 at the least; the bounds are 1, 2, 3, 4, 5, 7, 10, 15 and 20.
	// Histogram
	Tries Histogram `json:"tries"`
	// Latency is the time from Enqueue to the server's answer for recipients that were delivered, in seconds, and with it what they
	// were made to wait: until SendAt, in pauses, between attempts. The bounds are 10, 50, 100 and 500 ms, 1, 5 and 30 seconds, 1, 5 and
	// 15 minutes, 1, 4 and 12 hours, 1 and 3 days. Histogram, in seconds
	Latency Histogram `json:"latency"`
}

// Depth is how many unfinished jobs there are. Each is counted once: as leased, else as held, else as waiting. All are gauges.
type Depth struct {
	Waiting int `json:"waiting"` // whether due or not, and whatever keeps them back
	Leased  int `json:"leased"`  // being sent, or about to be
	Held    int `json:"held"`
	// Oldest is the earliest time at which a waiting job is, or was, due; zero if none waits. So far before Stats.Time the
	// lane is behind: the age of what waits there longest. Gauge, best as that age in seconds
	Oldest time.Time `json:"oldest,omitzero"`
}

// LaneStats is what the queue has for one domain, tenant and priority; first attempts and retries are apart.
type LaneStats struct {
	Domain   string         `json:"domain"`
	Tenant   string         `json:"tenant,omitempty"`
	Priority queue.Priority `json:"priority"`
	Retry    bool           `json:"retry,omitempty"`  // of jobs that were tried before
	Site     string         `json:"site,omitempty"`   // to which the domain belongs, as far as is known; "" while Run doesn't run
	Paused   bool           `json:"paused,omitempty"` // something is due, and kept back by a pause that stands in Rules
	Depth
}

// SiteStats is what is known of a site. Its counters begin when the site comes to be known to Run; one that has been at rest for
// an hour is forgotten.
type SiteStats struct {
	Name        string         `json:"name"`
	Limits      shaping.Limits `json:"limits"`                // in force now. Its numbers are gauges
	Slowed      []string       `json:"slowed,omitempty"`      // the shaping rules by which replies have lowered Limits for a time
	Window      int            `json:"window"`                // connections that it may have now; 0: it pauses, or others have them all. Gauge
	Share       int            `json:"share,omitempty"`       // of the site's connections, this process's, where others send from the queue too. Gauge
	Connections int            `json:"connections"`           // idle ones, and those being made, included. Gauge
	Greeted     int            `json:"greeted"`               // of these, with a session. Gauge
	Idle        int            `json:"idle"`                  // of these, without a job. Gauge
	InHand      int            `json:"in_hand"`               // jobs that were claimed and wait for a connection. Gauge
	Ready       int            `json:"ready"`                 // lanes with something due that nothing but the site keeps back. Gauge
	PausedUntil time.Time      `json:"paused_until,omitzero"` // zero: it doesn't pause by itself. Gauge, in seconds since 1970
	Why         string         `json:"why,omitempty"`         // it pauses: what a host said, what went wrong, or the shaping rule's name

	// What its servers have said, for each recipient once an attempt.
	Delivered uint64         `json:"delivered"`         // taken. Counter
	Deferred  uint64         `json:"deferred"`          // not now, or no answer. Counter
	Uncertain uint64         `json:"uncertain"`         // no answer after all was sent. Counter
	Failed    uint64         `json:"failed"`            // never. Counter
	Replies   map[int]uint64 `json:"replies,omitempty"` // by code, the first 32 different ones from 200 to 599. Counter by code
}

// Counter is how often something happened, and happens per second. Rates are over as much of the last minute, 5 minutes and
// hour, to a sixtieth of it, as has passed since New.
type Counter struct {
	Total       uint64  `json:"total"` // since New
	Minute      float64 `json:"minute"`
	FiveMinutes float64 `json:"five_minutes"`
	Hour        float64 `json:"hour"`
}

// Histogram is how many values there were of which size.
type Histogram struct {
	Bounds []float64 `json:"bounds"` // in ascending order
	// Counts[i] is how many values were at most Bounds[i], and above the bound before; the last one, of which there is one
	// more than Bounds, how many were above all. Prometheus' buckets are their running sums.
	Counts []uint64 `json:"counts"`
	Sum    float64  `json:"sum"` // of all values
}

// Total is how many values there were.
func (h *Histogram) Total() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}
