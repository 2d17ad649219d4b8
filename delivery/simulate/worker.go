package simulate

import (
	"slices"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/delivery/internal/verdict"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
)

// worker is the place of one connection, as it is in a Sender:
//
//	attempt -> Routed? -> admitted -> dial? -> greeted -> send -> answered -> finish
type worker struct {
	*play
	*try
	name    schedule.Worker
	session *server // whom there is a session with; nil: nobody
	used    bool    // it has sent something already
}

// try is an attempt at a job.
type try struct {
	verdict.Attempt
	job      *queue.Job
	site     string
	feedback schedule.Feedback
	denied   bool // the scheduler has taken the job back
	crowded  bool // a host has no place for one more beside our others
}

func newTry(j *queue.Job, now time.Time) *try {
	return &try{Attempt: verdict.Attempt{Began: now}, job: j}
}

// attempt begins with a job.
func (w *worker) attempt(a *schedule.Attempt) {
	w.try = newTry(a.Job, w.now)
	w.site = a.Site
	if verdict.Pending(w.job) == 0 || !w.job.Message.Expires.After(w.now) {
		w.finish()
		return
	}
	w.Results = make([]verdict.Result, len(w.job.Recipients))
	if !w.now.Before(w.job.Leased.Add(-leaseMargin)) {
		w.finish() // there is no time for an attempt any more
		return
	}
	to := w.siteOf(w.job.Domain)
	warm := w.session != nil && w.session.site == to
	if warm && to == a.Site {
		w.send()
		return
	}
	w.step(schedule.Routed{Worker: w.name, Site: to, Dial: !warm})
}

func (p *play) siteOf(domain string) string {
	if s, ok := find[Site](p.Servers, &question{start: p.Start, now: p.now, domain: domain, site: domain}); ok {
		return string(s)
	}
	return domain
}

// admitted goes on at a site, or not.
func (w *worker) admitted(site string, dial, ok bool) {
	switch {
	case !ok:
		w.denied = true
		if site == w.site {
			w.hangUp()
		}
		w.finish()
	case dial:
		w.site = site
		w.dial()
	default:
		w.site = site
		w.send()
	}
}

// ask makes the question of what servers do now.
func (w *worker) ask() *question {
	return &question{
		start: w.Start, now: w.now, domain: w.job.Domain, site: w.site, tries: w.job.Tries, rand: w.chance.servers,
	}
}

func (w *worker) dial() {
	w.hangUp()
	if f, ok := find[Fail](w.Servers, w.ask()); ok {
		w.after(time.Duration(f), func() { w.missed(queue.Reply{Phase: string(retry.PhaseConnect), Text: "connection failed"}) })
		return
	}
	g, _ := find[Greets](w.Servers, w.ask())
	w.after(time.Duration(g), w.greeted)
}

// greeted hears what a host greets with.
func (w *worker) greeted() {
	q, s := w.ask(), w.server(w.site)
	if a, ok := w.Servers.answer(retry.PhaseGreeting, q); ok && a.Code/100 != 2 {
		w.missed(w.reply(a))
		return
	}
	if most, ok := find[Connections](w.Servers, q); ok && s.open >= int(most) {
		w.missed(w.reply(Answer{retry.PhaseGreeting, 421, "4.7.0", "Too many connections"}))
		return
	}
	s.open++
	w.session, w.used = s, false
	w.tell(Connected{s.site, s.open})
	w.step(schedule.Greeted{Worker: w.name})
	w.send()
}

// reply is what the host says.
func (w *worker) reply(a Answer) queue.Reply {
	if a.Code == 0 {
		a.Text = "connection lost"
	}
	return queue.Reply{Host: w.site, Phase: string(a.Phase), Code: a.Code, Enhanced: a.Enhanced, Text: a.Text}
}

// missed ends an attempt for which there is no session.
func (w *worker) missed(r queue.Reply) {
	r.Host = w.site
	s := w.server(w.site)
	w.crowded = s.open > 0
	w.feedback.Contact, w.feedback.Text = schedule.Failed, said(r)
	if w.crowded || r.Code/100 == 4 {
		w.feedback.Contact = schedule.TurnedAway
	}
	w.tell(Refused{s.site, r, s.open})
	v := retry.Classify(retry.Reply{Phase: retry.Phase(r.Phase), Code: r.Code, Enhanced: r.Enhanced})
	for i := range w.Results {
		w.judge(i, r, v)
	}
	w.finish()
}

// send begins a transaction. A session that was lost while it was idle is replaced.
func (w *worker) send() {
	q := w.ask()
	if w.used && w.Servers.down(q) {
		w.step(schedule.Routed{Worker: w.name, Site: w.site, Dial: true})
		return
	}
	w.used = true
	t, _ := find[Takes](w.Servers, q)
	w.after(time.Duration(t), w.answered)
}

// judge notes what a reply means for a recipient.
func (w *worker) judge(i int, r queue.Reply, v retry.Verdict) {
	if w.job.Recipients[i].State != queue.Pending {
		return
	}
	res, orders := verdict.Judge(w.policy, w.site, r, v)
	w.Results[i] = res
	for _, o := range orders {
		if !slices.Contains(w.feedback.Orders, o) {
			w.feedback.Orders = append(w.feedback.Orders, o)
		}
	}
	w.feedback.Sent = w.feedback.Sent || v.Outcome == retry.Delivered
}

// finish ends the attempt.
func (w *worker) finish() {
	t := w.try
	w.try = nil
	t.Took = w.now.Sub(t.Began)
	warm := w.session != nil
	w.step(schedule.Done{Worker: w.name, Feedback: t.feedback, Warm: warm})
	switch {
	case t.denied:
	case !t.Tried() && len(t.Results) > 0:
		w.putBack(t.job, time.Time{}, "")
	case t.crowded:
		w.putBack(t.job, w.now.Add(w.crowdedWait()), t.feedback.Text)
	default:
		w.conclude(t)
	}
	if !warm {
		w.after(0, w.end)
	}
}

// crowdedWait is when a Sender tries again what a host had no place for.
func (w *worker) crowdedWait() time.Duration {
	return 5*time.Second + time.Duration(w.chance.servers.Int64N(int64(10*time.Second)))
}

// hangUp ends the session, if there is one.
func (w *worker) hangUp() {
	s := w.session
	if s == nil {
		return
	}
	w.session = nil
	s.open--
	w.tell(Disconnected{s.site, s.open})
}

// end is the end of the worker.
func (w *worker) end() {
	w.hangUp()
	delete(w.workers, w.name)
	w.step(schedule.Closed{Worker: w.name})
}
