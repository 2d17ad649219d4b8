package delivery

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient"
)

const (
	// maxAddrs bounds the addresses that one attempt dials: enough for all those of a large provider's first hosts.
	maxAddrs = 10
	// maxHosts bounds the hosts that one attempt has a transaction with: what one host defers, one other is asked at
	// once.
	maxHosts = 2
)

// try is one attempt at a job: what each recipient's answer was. Nothing is decided here but where to go next.
type try struct {
	job     *queue.Job
	site    string // whose slot it has
	expired bool   // it was claimed to be ended, and has no slot
	began   time.Time
	results []result // for each of the job's recipients
	tls     string   // protocol version of the last connection

	addrs, hosts int            // tried; with whom there was a session
	begin        func() error   // called before the message's data is sent: the end of Run waits for it then, or has come
	closing      sync.WaitGroup // sessions that say goodbye
}

// result is what an attempt found out about one recipient.
type result struct {
	tried   bool
	reply   queue.Reply
	verdict retry.Verdict
}

func newTry(a schedule.Attempt, now time.Time) *try {
	return &try{job: a.Job, site: a.Site, expired: a.Expired, began: now, results: make([]result, len(a.Job.Recipients))}
}

// due reports whether there is something to send: a recipient is pending, and the message has not expired.
func (t *try) due() bool {
	return len(t.open()) > 0 && !t.expired && t.job.Message.Expires.After(t.began)
}

// attempted reports whether anything was found out.
func (t *try) attempted() bool {
	return slices.ContainsFunc(t.results, func(r result) bool { return r.tried })
}

// open returns the indexes of the recipients that another host, or the next transaction, may do better for.
func (t *try) open() (open []int) {
	for i, r := range t.results {
		if t.job.Recipients[i].State == queue.Pending && (!r.tried || r.verdict.Outcome == retry.Later || r.verdict.NextHost) {
			open = append(open, i)
		}
	}
	return open
}

// unanswered returns those of the open recipients about whom no server has said anything.
func (t *try) unanswered() []int {
	return slices.DeleteFunc(t.open(), func(i int) bool { return t.results[i].reply.Code != 0 })
}

// uncertain reports whether some recipient's outcome can't be known.
func (t *try) uncertain() bool {
	return slices.ContainsFunc(t.results, func(r result) bool { return r.verdict.Outcome == retry.Uncertain })
}

// settle notes what happened to the recipients at indexes.
func (t *try) settle(indexes []int, reply queue.Reply, v retry.Verdict) {
	for _, i := range indexes {
		t.results[i] = result{tried: true, reply: reply, verdict: v}
	}
}

// dialogue routes, dials and sends until every recipient has an answer that another host would not better. When Run is to
// end, a dialogue that hasn't begun to transfer data stops at once, and its recipients count as not tried.
func (r *run) dialogue(t *try) {
	ctx, cancel := context.WithTimeout(r.hard, attemptLimit)
	defer cancel()
	stop := context.AfterFunc(r.soft, cancel)
	defer stop()
	t.begin = sync.OnceValue(func() error {
		if !stop() {
			<-ctx.Done()
		}
		return ctx.Err()
	})
	err := guard(func() error { return r.routeAndSend(ctx, t) })
	if err == nil && !t.attempted() {
		err = errors.New("the route has no host with an address")
	}
	if err == nil || err == errFull || r.soft.Err() != nil {
		return
	}
	if !errors.As(err, new(*mx.Error)) {
		r.observe(Trouble{Time: time.Now(), Key: t.job.Key, Err: err})
	}
	reply, verdict := routeFailed(t.job, err)
	t.settle(t.unanswered(), reply, verdict)
}

func (r *run) routeAndSend(ctx context.Context, t *try) error {
	route, err := r.config.Router.Route(ctx, t.job.Domain)
	if err != nil {
		return err
	}
	if !r.enter(t, cmp.Or(route.Site, t.job.Domain)) {
		return errFull
	}
	for _, host := range preferLast(route.Hosts, t.job) {
		host.Addrs = host.Addrs[:min(len(host.Addrs), maxAddrs-t.addrs)]
		if len(t.open()) == 0 || t.hosts >= maxHosts || t.uncertain() || ctx.Err() != nil {
			return nil
		}
		if len(host.Addrs) > 0 {
			r.visit(ctx, t, host, nil)
		}
	}
	return nil
}

// errFull means that the job was routed to a site that has no free slot. It waits for one in the queue, which is no attempt.
var errFull = errors.New("site full")

// enter takes a slot of the site that the job was routed to, in place of the one that the attempt began with. It reports
// whether there was one.
func (r *run) enter(t *try, site string) bool {
	answer := make(chan bool, 1)
	r.events <- schedule.Routed{Attempt: schedule.Attempt{Job: t.job, Site: t.site}, To: site, Answer: answer}
	if !<-answer {
		return false
	}
	t.site = site
	return true
}

// visit dials a host and sends to whom it can, without the extensions to ignore.
func (r *run) visit(ctx context.Context, t *try, host mx.Host, ignore []string) {
	if ignore == nil {
		t.addrs += len(host.Addrs)
	}
	session, err := r.dial(ctx, t.job, host, ignore)
	if err != nil {
		if !r.cutShort(ctx) {
			reply, verdict := hostFailed(host, err)
			t.settle(t.unanswered(), reply, verdict) // an answer says more than that another host gave none
		}
		return
	}
	defer t.closing.Go(func() { session.Close() }) // a server that is slow to say goodbye must not delay the commit
	if ignore == nil {
		t.hosts++
	}
	t.tls = tlsVersion(session)
	err = r.transact(ctx, t, session, host, t.open())
	if errors.Is(err, smtpclient.ErrChunking) { // nobody has anything: the same once more, and this can't happen again
		r.visit(ctx, t, host, session.Refused())
	}
}

// dial opens a session. A host whose TLS fails, where nobody demands any, gets the message in plaintext, but not at the
// first attempt: by the second, most of what was wrong by accident is over.
func (r *run) dial(ctx context.Context, j *queue.Job, host mx.Host, ignore []string) (*smtpclient.Session, error) {
	options := r.sessionOptions(host, j.Message.TLS)
	options.PlaintextFallback = j.Tries > 0
	options.Ignore = ignore
	addresses := make([]string, len(host.Addrs))
	for i, a := range host.Addrs {
		addresses[i] = netip.AddrPortFrom(a, host.Port).String()
	}
	return smtpclient.DialAny(ctx, addresses, options)
}

// unreadable stands for an answer where there is none because the queue doesn't give the message. No host is to blame, and no
// other one would help.
var unreadable = queue.Reply{Phase: "body", Text: "the stored message can't be read"}

// transact sends the message to the recipients at indexes. The error says that the session is of no further use.
func (r *run) transact(ctx context.Context, t *try, session *smtpclient.Session, host mx.Host, indexes []int) error {
	body, err := r.queue.Open(ctx, t.job.Key.ID)
	if err != nil {
		r.settleUnreadable(ctx, t, indexes, err)
		return err
	}
	data := &transfer{body: body, begin: t.begin, open: func() (io.ReadCloser, error) { return r.queue.Open(ctx, t.job.Key.ID) }}
	defer func() { data.body.Close() }()
	results, err := session.Send(ctx, envelope(t.job, indexes), data)
	var lost []int // those about whom nothing is known because the body ended too early
	accepted := 0
	for k, i := range indexes {
		res := results[k]
		silent := res.Err != nil && res.Err.Code == 0 && !res.Err.Uncertain
		switch {
		case silent && r.cutShort(ctx):
			continue // nobody answered: we hung up
		case silent && data.err != nil:
			lost = append(lost, i)
			continue
		}
		reply, verdict := classify(host, session, res, accepted)
		t.settle([]int{i}, reply, verdict)
		if res.Err == nil || res.Phase == smtpclient.PhaseData || res.Phase == smtpclient.PhaseBody {
			accepted++
		}
	}
	r.settleUnreadable(ctx, t, lost, data.err)
	return err
}

// settleUnreadable defers the recipients at indexes, if there are any, because the stored message can't be read.
func (r *run) settleUnreadable(ctx context.Context, t *try, indexes []int, err error) {
	if len(indexes) == 0 || r.cutShort(ctx) {
		return
	}
	r.observe(Trouble{Time: time.Now(), Key: t.job.Key, Err: err})
	t.settle(indexes, unreadable, retry.Verdict{Outcome: retry.Temporary})
}

// cutShort reports whether a dialogue ended because Run does.
func (r *run) cutShort(ctx context.Context) bool { return r.soft.Err() != nil && ctx.Err() != nil }

// transfer is a message's data on its way out. Its first octet is the point from which the dialogue may go on when Run ends.
type transfer struct {
	body  io.ReadCloser
	read  bool // something was
	begin func() error
	open  func() (io.ReadCloser, error)
	err   error // why body ended before its end
}

func (t *transfer) Read(p []byte) (int, error) {
	if err := t.begin(); err != nil {
		return 0, err
	}
	t.read = true
	n, err := t.body.Read(p)
	if err != nil && err != io.EOF {
		t.err = err
	}
	return n, err
}

// Seek goes to the beginning, which is all that another transaction wants.
func (t *transfer) Seek(offset int64, whence int) (int64, error) {
	switch {
	case offset != 0 || whence == io.SeekEnd || whence == io.SeekCurrent && t.read:
		return 0, errors.ErrUnsupported
	case !t.read:
		return 0, nil
	}
	body, err := t.open()
	if err != nil {
		return 0, err
	}
	t.body.Close()
	t.body, t.read = body, false
	return 0, nil
}
