package delivery

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery/dsn"
	"github.com/postroad/postroad/delivery/internal/address"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient"
)

// Config says how a [Sender] works. Its zero value works.
type Config struct {
	// Hostname is this host's name: what it says in EHLO and who reports come from. It should resolve to the address
	// that mail is sent from, and back. Defaults to os.Hostname's answer, or "localhost" if that is none.
	Hostname string
	// Router says where mail goes. Defaults to &mx.Resolver{Hostname: Hostname}: direct to each domain's MX.
	Router mx.Router
	// Retry says when to try again. Defaults to retry.Backoff{}: after a minute, doubling to 4 hours.
	Retry retry.Policy
	// MaxWait bounds the waits that the Sender invents by itself: those after an uncertain outcome, and those a server
	// hints at. Defaults to 0, which is no bound.
	MaxWait time.Duration
	// Lifetime is how long after SendAt delivery is given up when the message doesn't say. Defaults to 5 days.
	Lifetime time.Duration
	// MaxSize is how many octets a message may have. Defaults to 25 MB (25,000,000).
	MaxSize int64
	// Concurrency is how many connections there are at once. Those that no host has greeted yet are at most half of them.
	// Defaults to 500.
	Concurrency int
	// Shaping says how gently mail is sent: connections and rates by site, tenant, sender and source, and what a server's
	// "slow down" means. It isn't changed once it is in use. The zero value is careful with everyone.
	Shaping shaping.Policy
	// Sources are the addresses that mail is sent from. Defaults to one without a name, of Hostname.
	Sources []Source
	// Source chooses one of Sources by its name, for a message and the domain that it goes to. It is called often, and waited for,
	// so it must not give the Sender commands. A name that there isn't means the first of them. Defaults to the first for all.
	Source func(m *queue.Message, domain string) string
	// DrainTimeout is how long after the end of Run's ctx a dialogue that has begun to transfer its message may go on.
	// Defaults to 30 seconds.
	DrainTimeout time.Duration
	// Uncertain is what to do with a message when its connection was lost before the end of the data was answered.
	// Defaults to RetryUncertain.
	Uncertain UncertainAction
	// OnUncertain, if not nil, is asked in such a case, and its answer counts instead of Uncertain. It may look elsewhere
	// whether the message has arrived; after 30 seconds, and when Run must end, ctx ends and Uncertain counts. It is called
	// by several goroutines at once.
	OnUncertain func(ctx context.Context, d UncertainDelivery) UncertainAction
	// DelayAfter is how long after Enqueue an attempt that isn't the last is reported as [Delayed], and to senders who have asked
	// for it by NOTIFY=DELAY, once for each job. Defaults to 4 hours.
	DelayAfter time.Duration
	// DelayWarnings has delays reported to senders, too, who have said nothing by NOTIFY.
	DelayWarnings bool
	// Postmaster is the address that is told of failures nobody else can be told of: of reports that can't be delivered, and of other
	// mail with the null sender, in the same commit as the failure. If that report fails, too, nobody hears of it but the
	// [Observer], who hears of each in [Bounced]. Defaults to nobody.
	Postmaster string
	// ReportText, if not nil, says in the program's own words what people are to read in a report; "" leaves the subject, or
	// the text, to package dsn. It may quote what strangers say in the report that it is shown: whatever it returns adds no
	// fields and no parts to the report, and has no control characters. It is called by several goroutines at once, and waited for.
	ReportText func(*dsn.Report) (subject, text string)

	// DowngradeAfter is how long after Enqueue, and after two attempts, a message is sent to a domain that has lost TLS, or a
	// certificate that proves its host's name, and reported as [Downgraded]. Until then its mail waits for that to come back; mail
	// that expires soon waits for half of its time. Defaults to 1 hour.
	DowngradeAfter time.Duration

	// Signer signs what is enqueued, and reports. Defaults to none.
	Signer Signer
	// Suppressor knows who is not to be sent mail. Defaults to nobody being so.
	Suppressor Suppressor
	// Observer is told what happens. Defaults to nobody.
	Observer Observer
	// Log gets one line per attempt. Defaults to none.
	Log *slog.Logger
	// Dial connects to hosts; address is an IP address and port. It must return when ctx ends, as it does when another of the
	// host's addresses was faster. Defaults to net.Dialer's DialContext.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is the base of the configuration of every connection: client certificates, roots, versions and cipher suites. If it has
	// a VerifyConnection or VerifyPeerCertificate, a host that fails it gets nothing in plaintext either. Its MinVersion holds
	// for hosts with TLS; where nobody demands any, a host that can't do it counts as one whose TLS fails. Defaults to Go's own.
	TLS *tls.Config
	// Timeouts bound the steps of a dialogue. Defaults to those of smtpclient.
	Timeouts smtpclient.Timeouts
}

// withDefaults returns c with every default filled in, or an error that names the field that makes no sense.
func (c Config) withDefaults() (Config, error) {
	for name, v := range map[string]int64{
		"MaxWait": int64(c.MaxWait), "Lifetime": int64(c.Lifetime), "MaxSize": c.MaxSize, "Concurrency": int64(c.Concurrency),
		"DrainTimeout": int64(c.DrainTimeout), "DelayAfter": int64(c.DelayAfter),
		"DowngradeAfter": int64(c.DowngradeAfter),
	} {
		if v < 0 {
			return c, fmt.Errorf("delivery: Config.%s is negative", name)
		}
	}
	if c.Hostname == "" {
		if c.Hostname, _ = os.Hostname(); !validHostname(c.Hostname) {
			c.Hostname = "localhost"
		}
	}
	if !validHostname(c.Hostname) {
		return c, fmt.Errorf("delivery: Config.Hostname %.100q is not a host name", c.Hostname)
	}
	if err := c.Shaping.Check(); err != nil {
		return c, fmt.Errorf("delivery: Config.Shaping: %w", err)
	}
	if err := c.checkSources(); err != nil {
		return c, err
	}
	if _, err := address.Parse(c.Postmaster); c.Postmaster != "" && err != nil {
		return c, fmt.Errorf("delivery: Config.Postmaster: %w", err)
	}
	if c.Router == nil {
		c.Router = &mx.Resolver{Hostname: c.Hostname}
	}
	if c.Retry == nil {
		c.Retry = retry.Backoff{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	defaultTo(&c.Lifetime, 5*24*time.Hour)
	defaultTo(&c.MaxSize, 25_000_000)
	defaultTo(&c.Concurrency, 500)
	defaultTo(&c.DelayAfter, 4*time.Hour)
	defaultTo(&c.DowngradeAfter, time.Hour)
	defaultTo(&c.DrainTimeout, 30*time.Second)
	return c, nil
}

// validHostname reports whether EHLO can say s.
func validHostname(s string) bool {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '<' || r == '>' }
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, bad)
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
