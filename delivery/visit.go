package delivery

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/delivery/internal/verdict"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient"
)

// dialogue routes, dials or reuses a session, and sends, until every recipient has an answer that another host would not
// better. When Run is to end, or others may soon have this process's shares, a dialogue that hasn't begun to transfer data stops
// at once, and its recipients count as not tried.
func (w *worker) dialogue(t *try) {
	ctx, cancel := context.WithTimeout(w.hard, w.deadline(t).Sub(w.now()))
	defer cancel()
	w.may = w.mayBegin()
	stop := context.AfterFunc(w.may, cancel)
	defer stop()
	t.begun = begun{ctx: ctx, stop: stop}
	t.Results = make([]verdict.Result, len(t.job.Recipients))
	if ctx.Err() != nil {
		return // there is no time for an attempt any more
	}
	err := guard(func() error { return w.walk(ctx, t) })
	t.Took = w.now().Sub(t.Began)
	if err == nil || t.denied || w.may.Err() != nil {
		return
	}
	if t.to != t.job.Domain || !errors.As(err, new(*mx.Error)) {
		w.trouble(t.job.Key, err)
	}
	reply, v := routeFailed(t.job, t.to, plain(err))
	t.settle(t.unanswered(), verdict.Result{Tried: true, Reply: reply, Verdict: v})
}

// deadline is when an attempt must have ended, so that the lease still has the time for a commit.
func (w *worker) deadline(t *try) time.Time {
	if t.job.Leased.IsZero() {
		return t.Began.Add(attemptLimit)
	}
	return t.job.Leased.Add(-leaseMargin)
}

// errDenied means that the scheduler has taken the job back. It waits for a better time, which is no attempt.
var errDenied = errors.New("not admitted")

// walk visits the hosts of the job's route. The first is the one that the worker's session is with, if that will do.
func (w *worker) walk(ctx context.Context, t *try) error {
	route, to, err := w.route.find(ctx, w.Sender, t.job, t.Began)
	t.to = to
	if err != nil {
		return err
	}
	hosts := preferLast(w.hosts.downLast(route.Hosts, t.Began), t.job)
	warm := w.fitting(t, hosts)
	if site := cmp.Or(route.Site, to); site != t.site || warm < 0 {
		if !w.admitted(t, site, warm < 0) {
			if site == t.site {
				w.hangUp() // so that the job isn't offered to a session again that won't do for it
			}
			return errDenied
		}
	}
	if warm < 0 {
		w.hangUp() // whether another session takes its place or not
	}
	if warm > 0 {
		hosts = slices.Concat(hosts[warm:warm+1], hosts[:warm], hosts[warm+1:])
	}
	for i := range hosts {
		if len(t.open()) == 0 || t.hosts-t.unable >= maxHosts || t.Uncertain() || ctx.Err() != nil {
			return nil
		}
		if !w.vouches(t, &hosts[i]) {
			continue
		}
		if err := w.visit(ctx, t, hosts[i], warm >= 0 && i == 0); err != nil {
			return err
		}
		w.otherFamily(ctx, t, hosts[i])
	}
	t.failUnable(len(hosts))
	return nil
}

// admitted asks the scheduler whether the attempt may go on, at a site and, perhaps, with a new connection. If not, nothing is
// to be done to the job any more.
func (w *worker) admitted(t *try, site string, dial bool) bool {
	answer := make(chan bool, 1)
	w.post(schedule.Routed{Worker: w.name, Site: site, Detour: t.to != t.job.Domain, Dial: dial, Answer: answer})
	if !<-answer {
		t.denied = true
		return false
	}
	t.site = site
	return true
}

// visit sends to whom it can at one host, on the session that the worker has if warm, else on a new one. What says nothing about
// the message is done once more at once, on another session: this one may turn out to have ended while it was idle, and a
// server may refuse BDAT after it has offered CHUNKING.
func (w *worker) visit(ctx context.Context, t *try, h mx.Host, warm bool) error {
	h.Addrs = h.Addrs[:min(len(h.Addrs), max(maxAddrs-t.addrs, 0))]
	if !warm && !w.dial(ctx, t, &h) {
		return nil
	}
	err := w.transact(ctx, t, &h)
	if isStale(err) && ctx.Err() == nil {
		if !w.admitted(t, t.site, true) {
			return errDenied
		}
		if !w.dial(ctx, t, &h) {
			return nil
		}
		err = w.transact(ctx, t, &h)
	}
	t.hosts++
	if errors.Is(err, smtpclient.ErrChunking) && ctx.Err() == nil && w.dial(ctx, t, &h) {
		w.transact(ctx, t, &h) // what else it may say ends the session, and has been noted
	}
	return nil
}

// isStale reports whether a session was lost while it was idle, so that nobody has taken note of what was sent on it.
func isStale(err error) bool {
	if err == nil {
		return false
	}
	e := new(smtpclient.Error)
	return errors.As(err, &e) && e.Stale && !e.Uncertain
}

// transact sends the message to the open recipients on the worker's session. The error says that the session is over.
func (w *worker) transact(ctx context.Context, t *try, h *mx.Host) error {
	if !w.keepsLevel(t, h) {
		return nil
	}
	indexes := t.open()
	data, err := w.transfer(ctx, t)
	if err != nil {
		w.settleUnreadable(ctx, t, indexes, err)
		return nil
	}
	defer data.Close()
	s := w.session
	var results []smtpclient.Result
	var lost error
	if err := guard(func() error { results, lost = s.Send(ctx, envelope(t.job, s.Session, h, indexes), data); return nil }); err != nil {
		w.settlePanic(t, indexes, data, err)
		return nil
	}
	w.hosts.refuses(s.place, s.Refused(), w.now())
	if isStale(lost) {
		return lost
	}
	w.settleResults(ctx, t, h, indexes, results, data)
	w.meet(ctx, t, h, lost, results, data)
	return lost
}

// settleResults notes what a transaction meant for the recipients at indexes.
func (w *worker) settleResults(ctx context.Context, t *try, h *mx.Host, indexes []int, results []smtpclient.Result, data *transfer) {
	var unread []int // those about whom nothing is known because the body ended too early
	accepted := 0
	if len(results) > 0 && unable(&results[0]) { // then all are
		t.unable++
	}
	for k, i := range indexes {
		res := &results[k]
		silent := res.Err != nil && res.Err.Code == 0 && !res.Err.Uncertain
		switch {
		case silent && w.cutShort(ctx):
			continue // nobody answered: we hung up
		case silent && data.err != nil:
			unread = append(unread, i)
			continue
		}
		reply, v := classify(*h, w.session.Session, *res, accepted)
		t.Results[i] = t.judge(w.rules.Load().policy, reply, v)
		t.Results[i].QueueID, t.Results[i].DSN = res.QueueID, res.DSN
		if e := res.TLS; e != nil {
			t.Results[i].TLS, t.Results[i].Verified = tls.VersionName(e.Version), e.Unverified == nil || h.Verify != nil
		}
		if res.Err == nil || res.Phase == smtpclient.PhaseData || res.Phase == smtpclient.PhaseBody {
			accepted++
		}
		t.feedback.Sent = t.feedback.Sent || v.Outcome == retry.Delivered
	}
	w.settleUnreadable(ctx, t, unread, data.err)
}

// settleUnreadable defers the recipients at indexes, if there are any, because the stored message can't be read.
func (w *worker) settleUnreadable(ctx context.Context, t *try, indexes []int, err error) {
	if len(indexes) == 0 || w.cutShort(ctx) {
		return
	}
	w.trouble(t.job.Key, err)
	t.settle(indexes, verdict.Result{Tried: true, Reply: unreadable, Verdict: retry.Verdict{Outcome: retry.Temporary}})
}

// settlePanic defers the recipients at indexes because something of the host program's, such as its connection, has panicked
// in the middle of a transaction. Nobody says anything more on that session; it is closed when the attempt's context ends.
func (w *worker) settlePanic(t *try, indexes []int, data *transfer, err error) {
	w.trouble(t.job.Key, err)
	s := w.session
	w.session = nil
	w.hosts.left(s.place)
	reply := errorReply(mx.Host{Name: s.terms.host}, &smtpclient.Error{Phase: smtpclient.PhaseBody, Addr: s.Addr(), Err: plain(err)})
	v := retry.Verdict{Outcome: retry.Temporary}
	if data.ended {
		v.Outcome = retry.Uncertain
	}
	t.settle(indexes, verdict.Result{Tried: true, Reply: reply, Verdict: v})
}

// meet notes how a host with which there was a session has fared.
func (w *worker) meet(ctx context.Context, t *try, h *mx.Host, lost error, results []smtpclient.Result, data *transfer) {
	e := new(smtpclient.Error)
	undecided := errors.As(lost, &e) && slices.ContainsFunc(results, func(r smtpclient.Result) bool { return r.Err == e })
	for i := range results {
		if r := results[i].Err; r != nil && r.Code == 421 {
			e = r
		}
	}
	switch {
	case w.cutShort(ctx) || errors.Is(lost, smtpclient.ErrChunking):
	case e.Code == 421:
		t.contact(schedule.TurnedAway, replyLine(errorReply(*h, e)))
	case undecided && data.err == nil:
		t.contact(schedule.Failed, replyLine(errorReply(*h, e)))
	default:
		t.contact(schedule.Met, "")
	}
}

// cutShort reports whether a dialogue ended because it was to stop.
func (w *worker) cutShort(ctx context.Context) bool { return w.may.Err() != nil && ctx.Err() != nil }
