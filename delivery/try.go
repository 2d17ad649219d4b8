package delivery

import (
	"slices"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/delivery/internal/verdict"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
)

const (
	// maxAddrs bounds the addresses that one attempt dials: enough for all those of a large provider's first hosts.
	maxAddrs = 10
	// maxHosts bounds the hosts that one attempt has a transaction with: what one host defers, one other is asked at
	// once.
	maxHosts = 2
)

// try is one attempt at a job: what each recipient's answer was, and what the site has shown of itself. Nothing is decided
// here but where to go next.
type try struct {
	verdict.Attempt
	job      *queue.Job
	to       string // its domain, or where it was rerouted to, which may be a URL with a password
	site     string // whose limits hold
	source   string
	feedback schedule.Feedback

	begun      begun
	denied     bool           // the scheduler has taken the job back
	turned     bool           // a host that other sessions of ours are with had no place for one more
	addrs      int            // dialled
	hosts      int            // with whom there was a session
	unable     int            // of these, who don't know REQUIRETLS where the message needs that
	downgraded []downgrade    // what the message was sent with
	judged     verdict.Result // the last one: the same reply to many recipients is judged once
}

func newTry(j *queue.Job, now time.Time) *try {
	return &try{Attempt: verdict.Attempt{Began: now}, job: j, to: j.Domain}
}

// due reports whether there is something to send: a recipient is pending, and the message has not expired.
func (t *try) due() bool { return verdict.Pending(t.job) > 0 && t.job.Message.Expires.After(t.Began) }

// open returns the indexes of the recipients that another host, or the next transaction, may do better for.
func (t *try) open() (open []int) {
	for i, r := range t.Results {
		if t.job.Recipients[i].State == queue.Pending && (!r.Tried || r.Verdict.Outcome == retry.Later || r.Verdict.NextHost) {
			open = append(open, i)
		}
	}
	return open
}

// unanswered returns those of the open recipients about whom no server has said anything.
func (t *try) unanswered() []int {
	return slices.DeleteFunc(t.open(), func(i int) bool { return t.Results[i].Reply.Code != 0 })
}

// settle notes what happened to the recipients at indexes.
func (t *try) settle(indexes []int, r verdict.Result) {
	for _, i := range indexes {
		t.Results[i] = r
	}
}

// crowded reports whether all that was found out is that a host has enough of our sessions. That says nothing about the job.
func (t *try) crowded() bool { return t.turned && t.hosts == 0 }

// contact notes how a host was met. That one was met in order counts for more than that another one wasn't, and that one
// answered for more than that none did.
func (t *try) contact(c schedule.Contact, text string) {
	f := &t.feedback
	if f.Contact == schedule.Met || f.Contact == schedule.TurnedAway && c == schedule.Failed {
		return
	}
	f.Contact, f.Text = c, text
	if c == schedule.Met {
		f.Text = ""
	}
}

// judge makes a result of a reply: of what it means in general, and of what the rules for the site say.
func (t *try) judge(p *shaping.Policy, reply queue.Reply, v retry.Verdict) verdict.Result {
	if t.judged.Tried && t.judged.Reply == reply && t.judged.Verdict == v {
		return t.judged
	}
	res, orders := verdict.Judge(p, t.site, reply, v)
	for _, o := range orders {
		if !slices.Contains(t.feedback.Orders, o) {
			t.feedback.Orders = append(t.feedback.Orders, o)
		}
	}
	t.judged = res
	return res
}
