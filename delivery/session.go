package delivery

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient"
)

// session is a connection to a host, and what it was made for.
type session struct {
	*smtpclient.Session
	place
	terms
	destination string // whose route has led here, for want of a better host; "": nobody's
}

// terms are what two jobs must agree on to share a session: at which host, how, and from where.
type terms struct {
	host     string
	port     uint16
	tls      mx.TLS
	demand   queue.TLS // the message's, beside the host's
	policy   string    // what mx.Host.Verify checks
	implicit bool
	login    bool
	auth     mx.Credentials
	source   string
}

func (t *try) terms(h *mx.Host) terms {
	w := terms{
		host: h.Name, port: h.Port, tls: h.TLS, demand: t.job.Message.TLS, policy: h.Policy, implicit: h.Implicit, source: t.source,
	}
	if h.Auth != nil {
		w.login, w.auth = true, *h.Auth
	}
	return w
}

// fits reports whether the worker's session is what t would get by dialling h.
func (w *worker) fits(t *try, h *mx.Host) bool {
	s := w.session
	return s.terms == t.terms(h) &&
		slices.Contains(h.Addrs, s.addr.Addr()) &&
		(h.Verify == nil || h.Policy != "") && // else nobody knows what was checked
		(s.Rung() < smtpclient.Plaintext || w.fallsBack(t, h))
}

// fitting returns the index of the host at which the worker's session will do for t, -1 if there is none. It is one where a
// walk along the route could begin, of the first host's preference: a backup is no stand-in for a host that is up. But where
// a walk for the same destination has come because no better host could be reached, the next one goes on.
func (w *worker) fitting(t *try, hosts []mx.Host) int {
	s := w.session
	if s == nil {
		return -1
	}
	for i := range hosts {
		h := &hosts[i]
		switch {
		case h.Name != s.terms.host:
		case unsure(t.job) && h.Name != hosts[0].Name: // the host that may have it already is first
		case h.Preference != hosts[0].Preference && s.destination != t.to:
		case w.fits(t, h) && !s.Spent(): // whether it was hung up on is seen when something is sent
			return i
		}
	}
	return -1
}

// dial puts a session with h in the place of what the worker has, and reports whether there is one.
func (w *worker) dial(ctx context.Context, t *try, h *mx.Host) bool {
	if len(h.Addrs) == 0 {
		return false
	}
	t.addrs += len(h.Addrs)
	w.hangUp()
	w.closing.Wait() // a site that takes five connections is not to see a sixth
	o := w.sessionOptions(*h, t.job.Message.TLS)
	o.PlaintextFallback = w.fallsBack(t, h)
	w.guardLogin(o, h)
	w.source(t.source).apply(o)
	w.hosts.advise(o, h, w.now())
	addresses := make([]string, len(h.Addrs))
	for i, a := range h.Addrs {
		addresses[i] = netip.AddrPortFrom(a, h.Port).String()
	}
	var s *smtpclient.Session
	err := guard(func() (err error) { s, err = smtpclient.DialAny(ctx, addresses, o); return err })
	if err != nil {
		if !w.cutShort(ctx) {
			w.missed(t, h, err)
		}
		return false
	}
	addr, _ := netip.ParseAddrPort(s.Addr()) // as it was made above
	w.session = &session{Session: s, place: place{h.Name, addr}, terms: t.terms(h)}
	if t.hosts == 0 {
		w.session.destination = t.to
	}
	w.hosts.reached(w.session.place, s.Rung(), w.now())
	w.post(schedule.Greeted{Worker: w.name})
	return true
}

// missed notes that there is no session with h, and why.
func (w *worker) missed(t *try, h *mx.Host, err error) {
	ours := errors.As(err, new(*panicked))
	if ours {
		w.trouble(t.job.Key, err)
	}
	w.noteTLS(h, err)
	reply, v := hostFailed(*h, plain(err))
	early := slices.Contains([]string{"connect", "greeting", "ehlo"}, reply.Phase)
	busy := early && w.hosts.busy(h)
	switch {
	case reply.Code == 421 || early && (busy || reply.Code/100 == 4):
		t.contact(schedule.TurnedAway, replyLine(reply))
	default:
		t.contact(schedule.Failed, replyLine(reply))
	}
	t.turned = t.turned || busy
	if early && !busy && !ours && reply.Code == 0 {
		w.hosts.unreachable(h, w.now())
	}
	// An answer says more than that another host gave none.
	t.settle(t.unanswered(), t.judge(w.rules.Load().policy, reply, v))
}
