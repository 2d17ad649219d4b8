package simulate_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/delivery/simulate"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// scenario is a little story that a Sender and a simulation must tell alike: its servers are described twice.
type scenario struct {
	name       string
	script     string
	reply      func(*server, smtptest.Command) string
	domain     string // defaults to x.example
	recipients int
	count      int
	every      time.Duration
	retry      retry.Policy
	lifetime   time.Duration
	shaping    shaping.Policy
}

// server is a real one.
type server struct {
	*smtptest.Server
	start time.Time
	times map[string]int // that something was asked
}

// nth counts how often it was asked for a name.
func (s *server) nth(name string) int {
	s.times[name]++
	return s.times[name]
}

func (s *server) at() time.Duration { return time.Since(s.start) }

var scenarios = []scenario{
	{name: "taken"},
	{
		name:   "greylisted twice",
		script: "always * first 2 attempts: rcpt 450 4.2.0 greylisted",
		reply: func(s *server, c smtptest.Command) string {
			if c.Verb == "RCPT" && s.nth(c.Address) <= 2 {
				return "450 4.2.0 greylisted"
			}
			return ""
		},
	},
	{
		name: "one unknown, one full, one well",
		script: `always user1@* rcpt 550 5.1.1 no such user
		always user2@* rcpt 452 4.2.2 mailbox full`,
		recipients: 3, lifetime: 2 * time.Hour,
		reply: func(s *server, c smtptest.Command) string {
			switch {
			case c.Verb == "RCPT" && strings.HasPrefix(c.Address, "user1@"):
				return "550 5.1.1 no such user"
			case c.Verb == "RCPT" && strings.HasPrefix(c.Address, "user2@"):
				return "452 4.2.2 mailbox full"
			}
			return ""
		},
	},
	{
		name:   "a hint",
		script: "+0s-+10m * body 451 4.3.0 try again in 25 minutes",
		reply: func(s *server, c smtptest.Command) string {
			if c.Verb == "." && s.at() < 10*time.Minute {
				return "451 4.3.0 try again in 25 minutes"
			}
			return ""
		},
	},
	{
		name:   "down for a while",
		script: "+0s-+40m * connect fails",
		reply:  nil,
		retry:  retry.Schedule{20 * time.Minute},
	},
	{
		name:     "always down, until it expires",
		script:   "always * connect fails",
		retry:    retry.Schedule{2 * time.Hour},
		lifetime: 9 * time.Hour,
	},
	{
		name:   "the end is lost",
		script: "always * first attempt: body lost",
		reply: func(s *server, c smtptest.Command) string {
			if c.Verb == "." && s.nth(".") == 1 {
				return smtptest.Close
			}
			return ""
		},
	},
	{
		name:   "shut down in a transaction",
		script: "always * first attempt: mail 421 4.3.2 shutting down",
		reply: func(s *server, c smtptest.Command) string {
			if c.Verb == "MAIL" && s.nth("MAIL") == 1 {
				return "421 4.3.2 shutting down" + smtptest.Close
			}
			return ""
		},
	},
	{
		name:   "no greeting",
		script: "always * first 3 attempts: greeting 554 5.3.2 not now",
		retry:  retry.Schedule{20 * time.Minute},
		reply: func(s *server, c smtptest.Command) string {
			if c.Verb == "CONNECT" && s.nth("CONNECT") <= 3 {
				return "554 5.3.2 not now" + smtptest.Close
			}
			return ""
		},
	},
	{
		name:    "a rate",
		count:   7,
		shaping: shaping.Policy{Default: shaping.Limits{MessageRate: shaping.Rate{N: 2, Per: time.Minute}}},
	},
	{
		name:    "one an hour",
		count:   5,
		shaping: shaping.Policy{Default: shaping.Limits{Start: 5, MessageRate: shaping.Rate{N: 1, Per: time.Hour}}},
	},
	{
		name:    "one connection an hour",
		count:   5,
		shaping: shaping.Policy{Default: shaping.Limits{Start: 5, Messages: 1, ConnectionRate: shaping.Rate{N: 1, Per: time.Hour}}},
	},
	{
		name:    "a sender's rate",
		count:   7,
		shaping: shaping.Policy{Senders: map[string]shaping.Rate{"": {N: 2, Per: time.Minute, Burst: 2}}},
	},
	{
		name:  "one slow connection",
		count: 5, every: time.Second,
		script: `always * takes 3s
		always * greets in 2s`,
		shaping: shaping.Policy{Default: shaping.Limits{Connections: 1}},
		reply: func(s *server, c smtptest.Command) string {
			switch c.Verb {
			case ".":
				time.Sleep(3 * time.Second)
			case "CONNECT":
				time.Sleep(2 * time.Second)
			}
			return ""
		},
	},
	{
		name:  "two connections, five messages each",
		count: 40, every: 500 * time.Millisecond,
		script:  `always * takes 3s`,
		shaping: shaping.Policy{Default: shaping.Limits{Connections: 2, Messages: 5}},
		reply: func(s *server, c smtptest.Command) string {
			if c.Verb == "." {
				time.Sleep(3 * time.Second)
			}
			return ""
		},
	},
	{
		name:   "two hundred recipients",
		script: "always user7@* rcpt 550 5.1.1 no such user", recipients: 200,
		reply: func(s *server, c smtptest.Command) string {
			if c.Verb == "RCPT" && strings.HasPrefix(c.Address, "user7@") {
				return "550 5.1.1 no such user"
			}
			return ""
		},
	},
	{
		name:   "a rule",
		script: "always * first attempt: rcpt 450 4.7.9 rather later",
		shaping: shaping.Policy{Rules: []shaping.Rule{
			{Name: "later", Code: "450", Action: shaping.Wait, For: 77 * time.Minute},
		}},
		reply: func(s *server, c smtptest.Command) string {
			if c.Verb == "RCPT" && s.nth("RCPT") == 1 {
				return "450 4.7.9 rather later"
			}
			return ""
		},
	},
}

// The same scenario played by a Sender, with real servers, and by a simulation has the same attempts, at the same times, and
// the same ends.
func TestTruth(t *testing.T) {
	for _, s := range scenarios {
		if s.domain == "" {
			s.domain = "x.example"
		}
		if s.retry == nil {
			s.retry = retry.Schedule{time.Minute, 5 * time.Minute, 30 * time.Minute}
		}
		s.count, s.recipients = max(s.count, 1), max(s.recipients, 1)
		if s.lifetime == 0 {
			s.lifetime = 24 * time.Hour
		}
		t.Run(s.name, func(t *testing.T) {
			script, err := simulate.ParseScript("script", s.script)
			if err != nil {
				t.Fatal(err)
			}
			simulated := s.simulate(t, script)
			var real []string
			synctest.Test(t, func(t *testing.T) { real = s.send(t, script) })
			if !slices.Equal(simulated, real) {
				t.Errorf("simulated:\n%s\n\nreal:\n%s", strings.Join(simulated, "\n"), strings.Join(real, "\n"))
			}
			if len(real) == 0 {
				t.Error("nothing has happened")
			}
		})
	}
}

func (s *scenario) simulate(t *testing.T, script simulate.Script) (told []string) {
	c := simulate.Config{
		Retry: s.retry, Lifetime: s.lifetime, Shaping: s.shaping, Servers: script, DelayAfter: 30 * time.Minute,
		Start: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		Mail:  []simulate.Mail{{Domain: s.domain, Recipients: s.recipients, Count: s.count, Every: s.every}},
	}
	future, err := simulate.Run(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range future {
		told = append(told, tell(c.Start, e)...)
	}
	slices.Sort(told)
	return told
}

// tell writes what must be alike of an event.
func tell(start time.Time, e any) []string {
	offset := func(at time.Time) string {
		if at.IsZero() {
			return "-"
		}
		return fmt.Sprintf("%9.3f", at.Sub(start).Seconds())
	}
	switch e := e.(type) {
	case delivery.Attempted:
		return []string{fmt.Sprintf("%s %s %s %s %d, try %d, took %v, due %s", offset(e.Time), e.Recipient, e.Outcome, e.Reply.Phase,
			e.Reply.Code, e.Try, e.Took, offset(e.Due))}
	case delivery.Delayed:
		return []string{fmt.Sprintf("%s delayed %d, due %s", offset(e.Time), len(e.Recipients), offset(e.Due))}
	case delivery.Bounced:
		return []string{fmt.Sprintf("%s bounced %d", offset(e.Time), len(e.Recipients))}
	case delivery.Trouble:
		return []string{fmt.Sprint(e)}
	}
	return nil
}

// send plays the scenario with a Sender.
func (s *scenario) send(t *testing.T, script simulate.Script) (told []string) {
	start := time.Now()
	srv := &server{Server: &smtptest.Server{Name: "mx.x.example"}, start: start, times: make(map[string]int)}
	var counting sync.Mutex
	if s.reply != nil {
		srv.Reply = func(c smtptest.Command) string {
			if c.Verb == "." || c.Verb == "CONNECT" { // where it may sleep
				return s.reply(srv, c)
			}
			counting.Lock()
			defer counting.Unlock()
			return s.reply(srv, c)
		}
	}
	defer srv.Close()
	var mu sync.Mutex
	down := s.down(script)
	sender, err := delivery.New(memqueue.New(), delivery.Config{
		Hostname: "home.example", Retry: s.retry, Lifetime: s.lifetime, Shaping: s.shaping, DelayAfter: 30 * time.Minute,
		Router: mx.RouterFunc(func(_ context.Context, domain string) (*mx.Route, error) {
			host := mx.Host{Name: "mx." + domain, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Port: 25}
			if domain == "home.example" { // where reports go
				host.Addrs[0] = netip.MustParseAddr("192.0.2.2")
			}
			return &mx.Route{Site: domain, Hosts: []mx.Host{host}}, nil
		}),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "192.0.2.1:25" || down(time.Since(start)) {
				return nil, errors.New("connection refused")
			}
			return srv.Dial(ctx, network, address)
		},
		Observer: delivery.ObserverFunc(func(e delivery.Event) {
			if a, ok := e.(delivery.Attempted); ok && a.Message.From == "" {
				return
			}
			if d, ok := e.(delivery.Delayed); ok && d.Message.From == "" {
				return
			}
			if b, ok := e.(delivery.Bounced); ok && b.Message.From == "" {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			told = append(told, tell(start, e)...)
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { sender.Run(ctx) })
	for range s.count {
		m := delivery.Message{From: "sender@home.example", Priority: queue.Normal, Body: strings.NewReader("Subject: hello\r\n\r\nHello.\r\n")}
		for i := range s.recipients {
			m.To = append(m.To, delivery.Recipient{Address: fmt.Sprintf("user%d@%s", i+1, s.domain)})
		}
		if _, err := sender.Enqueue(ctx, m); err != nil {
			t.Fatal(err)
		}
		time.Sleep(s.every)
	}
	time.Sleep(s.lifetime + time.Hour)
	cancel()
	running.Wait()
	slices.Sort(told)
	return told
}

// down says when nobody can connect.
func (s *scenario) down(script simulate.Script) func(time.Duration) bool {
	return func(at time.Duration) bool {
		for _, r := range script {
			if _, ok := r.Do.(simulate.Fail); ok && at >= r.When.From && (r.When.To == 0 || at < r.When.To) {
				return true
			}
		}
		return false
	}
}
