package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/delivery/internal/verdict"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient"
)

// What a message's protection needs beside what the handshakes are told to demand.

// fallsBack reports whether a host whose TLS fails, where nobody demands any, gets the message in plaintext: only if it has
// waited for an attempt since TLS with the host began to fail, since most of what is wrong by accident is over by then.
func (w *worker) fallsBack(t *try, h *mx.Host) bool {
	if t.job.Message.TLS == queue.TLSOptional {
		return true
	}
	since := w.hosts.tlsFails(h, w.now())
	n := len(t.job.Attempts)
	if since.IsZero() || n == 0 {
		return false
	}
	last := &t.job.Attempts[n-1]
	return !since.After(last.Time.Add(last.Took))
}

// noteTLS notes that TLS with a host has failed, if that is why there is no session.
func (w *worker) noteTLS(h *mx.Host, err error) {
	e := new(smtpclient.Error)
	if !errors.As(err, &e) || e.Phase != smtpclient.PhaseSTARTTLS || e.Code == 0 && !errors.Is(e, smtpclient.ErrHandshake) {
		return
	}
	if addr, err := netip.ParseAddrPort(e.Addr); err == nil {
		w.hosts.failsTLS(place{h.Name, addr}, w.now())
	}
}

// vouched reports whether the name of a host is one to be proved, for a message that requires TLS all the way: nobody on the
// way to the DNS can have chosen it, or the domain's own policy allows it (RFC 8689, section 4.2.1, step 3).
func vouched(h *mx.Host) bool { return h.Secure || h.TLS == mx.Verified }

// vouches settles what is to be required of a host that nobody vouches for, and reports whether it may be met.
func (w *worker) vouches(t *try, h *mx.Host) bool {
	if t.job.Message.TLS != queue.RequireTLS || vouched(h) {
		return true
	}
	t.putOff(h, "", "REQUIRETLS: neither DNSSEC nor MTA-STS vouches for the host's name")
	return false
}

// requires reports whether the transaction on a session is to say REQUIRETLS. A report is sent to a host that doesn't know it,
// too, rather than be lost (RFC 8689, section 5).
func requires(j *queue.Job, s *smtpclient.Session) bool {
	if j.Message.TLS != queue.RequireTLS {
		return false
	}
	_, offered := s.Extension("REQUIRETLS")
	return offered || reversePath(j) != ""
}

// unable reports whether a host was refused because it doesn't know REQUIRETLS.
func unable(r *smtpclient.Result) bool {
	return r.Err != nil && errors.Is(r.Err, smtpclient.ErrRequireTLS)
}

// failUnable ends the attempt for good if none of the hosts knows REQUIRETLS. As long as one hasn't said so, trying again may
// help.
func (t *try) failUnable(hosts int) {
	if t.unable == 0 || t.unable < hosts {
		return
	}
	for _, i := range t.open() {
		t.Results[i].Verdict.Outcome, t.Results[i].Verdict.NextHost = retry.Permanent, false
	}
}

// guardLogin has a host that gets credentials show what it has shown before: they never go with less, however long mail waits.
func (w *worker) guardLogin(o *smtpclient.Options, h *mx.Host) {
	if o.Auth == nil || h.TLS == mx.None || h.Verify != nil {
		return
	}
	switch w.levels.level(levelName(h), w.now()) {
	case verified:
		o.TLS = smtpclient.VerifiedTLS
	case encrypted:
		o.TLS = max(o.TLS, smtpclient.RequiredTLS)
	}
}

// keepsLevel reports whether the message may be sent on the worker's session although the domain has shown better protection
// before. For a while it may not: then another host may do better, or a later attempt. After that it is sent, and the
// observer is told.
func (w *worker) keepsLevel(t *try, h *mx.Host) bool {
	if h.TLS == mx.None || t.job.Message.TLS == queue.TLSOptional {
		return true
	}
	now, name := w.now(), levelName(h)
	has := levelOf(w.session.Session)
	had := w.levels.level(name, now)
	if has >= had || h.Verify != nil { // who has satisfied a route's own check is as good as verified
		w.levels.saw(name, has, now)
		return true
	}
	if !t.patient(w.config.DowngradeAfter) {
		text := fmt.Sprintf("TLS: %s has been %s before, and is %s now", name, had, has)
		t.putOff(h, w.session.Addr(), text)
		t.contact(schedule.Met, "")
		return false
	}
	if d := (downgrade{name, h.Name, had, has}); !slices.Contains(t.downgraded, d) {
		t.downgraded = append(t.downgraded, d)
	}
	return true
}

// downgrade is protection that was lost, and done without.
type downgrade struct {
	name, host string
	had, has   level
}

// patient reports whether the job has waited for so long, and for two attempts at least, that it is to go with less protection.
// Mail that expires soon waits for half of its time.
func (t *try) patient(wait time.Duration) bool {
	m := &t.job.Message
	wait = min(wait, m.Expires.Sub(m.Enqueued)/2)
	return t.job.Tries >= 2 && t.Began.Sub(m.Enqueued) >= wait
}

// putOff settles whom no server has answered for: what is demanded of a host isn't there.
func (t *try) putOff(h *mx.Host, addr, text string) {
	reply := queue.Reply{Host: clip(h.Name), Addr: addr, Phase: string(smtpclient.PhaseSTARTTLS), Text: clip(text)}
	t.settle(t.unanswered(), verdict.Result{Tried: true, Reply: reply, Verdict: retry.Verdict{Outcome: retry.Temporary, NextHost: true}})
}

// tellDowngrades tells the observer what mail was sent with less protection than before, which from now on is what is expected.
func (r *run) tellDowngrades(t *try, now time.Time) {
	for _, d := range t.downgraded {
		r.levels.fell(d.name, d.has, now)
		r.observe(Downgraded{
			Time: now, Key: t.job.Key, Message: t.job.Message, Domain: d.name, Host: d.host, Had: d.had.String(), Has: d.has.String(),
		})
	}
}

// loadLevels reads what another life of the program has seen of TLS.
func (s *Sender) loadLevels(ctx context.Context) error {
	n, err := s.notes()
	if err != nil {
		return nil // then it is kept in memory only
	}
	if err := s.levels.load(ctx, n); err != nil {
		return fmt.Errorf("delivery: reading what is known of TLS: %w", err)
	}
	return nil
}

// keepLevels stores what is learned of TLS until ctx ends.
func (r *run) keepLevels(ctx context.Context) {
	for {
		select {
		case <-r.levels.changed:
		case <-ctx.Done():
			return
		}
		delay := levelDelay
		if r.shared != nil {
			delay = shareBeat // others want to know it
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return
		}
		r.storeLevels(ctx)
	}
}

func (r *run) storeLevels(ctx context.Context) {
	n, err := r.notes()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimLimit)
	defer cancel()
	if err := guard(func() error { return r.levels.store(ctx, n) }); err != nil {
		r.levels.remind()
		r.trouble(queue.Key{}, fmt.Errorf("delivery: storing what is known of TLS: %w", err))
	}
}
