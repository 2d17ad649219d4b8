package delivery_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/dane"
	"github.com/postroad/postroad/mx/dnsclient"
	"github.com/postroad/postroad/mx/mtasts"
	"github.com/postroad/postroad/mx/mxtest"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// situation is what the table in the package's documentation makes an outcome of.
type situation struct{ demand, sts, dane, host string }

// The values of the table's columns, in place of "any".
var columns = [4][]string{
	{"nothing", "optional", "requiretls"},
	{"absent", "testing", "enforced", "unmatched"},
	{"unsigned", "absent", "unusable", "usable", "failed"},
	{"none", "broken", "other", "named", "listed", "both", "unaware"},
}

// documented reads the table: each combination is in it once.
func documented(t *testing.T) map[situation]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "security.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	table := make(map[situation]string)
	header := false
	for line := range strings.Lines(file.Doc.Text()) {
		cells := strings.Fields(line)
		if !strings.HasPrefix(line, "\t") || len(cells) != 5 {
			continue
		}
		if !header {
			header = slices.Equal(cells, []string{"demand", "MTA-STS", "DANE", "host", "outcome"})
			continue
		}
		var values [4][]string
		for i := range values {
			if values[i] = strings.Split(cells[i], ","); cells[i] == "any" {
				values[i] = columns[i]
			}
		}
		for s := range combinations(values) {
			if table[s] != "" {
				t.Errorf("%+v is in the table twice", s)
			}
			table[s] = cells[4]
		}
	}
	count := 0
	for s := range combinations(columns) {
		if count++; table[s] == "" {
			t.Errorf("%+v is not in the table", s)
		}
	}
	if len(table) != count {
		t.Errorf("the table has %d combinations, want %d", len(table), count)
	}
	return table
}

func combinations(values [4][]string) func(func(situation) bool) {
	return func(yield func(situation) bool) {
		for _, demand := range values[0] {
			for _, sts := range values[1] {
				for _, dane := range values[2] {
					for _, host := range values[3] {
						if !yield(situation{demand, sts, dane, host}) {
							return
						}
					}
				}
			}
		}
	}
}

// TestSecurity does what the table in the package's documentation says: in each situation there is a domain with its
// policies, to which a message is sent.
func TestSecurity(t *testing.T) {
	table := documented(t)
	for _, order := range []string{"MTA-STS around DANE", "DANE around MTA-STS"} {
		t.Run(order, func(t *testing.T) {
			s := newSecurity(t)
			var list []situation
			for sit := range combinations(columns) {
				s.add(fmt.Sprintf("c%d.example", len(list)), sit)
				list = append(list, sit)
			}
			s.start(order == columnsOrder)
			for i, sit := range list {
				s.send(fmt.Sprintf("c%d.example", i), sit)
			}
			s.ended.Wait()
			for i, sit := range list {
				if got := s.outcome(fmt.Sprintf("c%d.example", i), sit); got != table[sit] {
					t.Errorf("%+v: %s, the table has %s", sit, got, table[sit])
				}
			}
		})
	}
}

const columnsOrder = "MTA-STS around DANE"

// security has a name server, policy hosts, mail hosts of each kind, and a Sender.
type security struct {
	t       *testing.T
	zone    *mxtest.Server
	config  delivery.Config
	sender  *delivery.Sender
	servers map[string]*smtptest.Server // by address and port
	tlsa    []string                    // the data of usable records
	ended   sync.WaitGroup              // what becomes of the messages is known

	mu       sync.Mutex // guards what follows
	policies map[string]string
	last     map[string]delivery.Attempted // by domain
}

func newSecurity(t *testing.T) *security {
	zone, err := mxtest.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(zone.Close)
	s := &security{
		t: t, zone: zone, servers: make(map[string]*smtptest.Server),
		policies: make(map[string]string), last: make(map[string]delivery.Attempted),
	}
	s.config = delivery.Config{
		Hostname: "postroad.example",
		Dial:     s.dial,
		Observer: delivery.ObserverFunc(s.observe),
		Retry: retry.PolicyFunc(func(a retry.Attempt) (time.Duration, bool) {
			if a.N < attemptsEach {
				return time.Millisecond, true
			}
			return 24 * time.Hour, true
		}),
		TLS:     &tls.Config{},
		Shaping: shaping.Policy{Default: shaping.Limits{Rest: time.Microsecond}},
	}
	s.config.TLS.RootCAs = x509.NewCertPool()
	known := map[string]*tls.Config{"both": s.certificate()}
	known["unaware"] = known["both"]
	known["listed"] = s.certificate()
	known["named"] = s.certificate()
	for _, kind := range []string{"both", "named"} {
		s.config.TLS.RootCAs.AddCert(known[kind].Certificates[0].Leaf)
	}
	for _, kind := range []string{"both", "listed"} {
		digest := sha256.Sum256(known[kind].Certificates[0].Leaf.RawSubjectPublicKeyInfo)
		s.tlsa = append(s.tlsa, fmt.Sprintf("3 1 1 %x", digest))
	}
	for i, kind := range columns[3] {
		server := &smtptest.Server{StartTLS: kind != "none", Extensions: []string{"PIPELINING", "REQUIRETLS"}, TLSConfig: known[kind]}
		switch kind {
		case "broken":
			server.Reply = func(c smtptest.Command) string {
				if c.Verb == "STARTTLS" {
					return "220 2.0.0 go ahead" + smtptest.Close
				}
				return ""
			}
		case "unaware":
			server.Extensions = []string{"PIPELINING"}
		}
		t.Cleanup(server.Close)
		s.servers[fmt.Sprintf("127.0.1.%d:25", i)] = server
	}
	return s
}

// certificate is a new one for the mail hosts.
func (s *security) certificate() *tls.Config {
	config, _, err := smtptest.NewTLSConfig("*.mx.example")
	if err != nil {
		s.t.Fatal(err)
	}
	return config
}

// attemptsEach is how many attempts a message gets: no more would help.
const attemptsEach = 3

func (s *security) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return s.servers[address].Dial(ctx, network, address)
}

// add makes a domain of a situation.
func (s *security) add(domain string, sit situation) {
	name, _, _ := strings.Cut(domain, ".")
	host := name + ".mx.example"
	tlsa := "_25._tcp." + host
	records := []string{
		fmt.Sprintf("%s MX 10 %s", domain, host),
		fmt.Sprintf("%s A 127.0.1.%d", host, slices.Index(columns[3], sit.host)),
	}
	switch sit.dane {
	case "unusable":
		records = append(records, tlsa+" TLSA 1"+strings.TrimPrefix(s.tlsa[0], "3"))
	case "usable", "unsigned":
		for _, data := range s.tlsa {
			records = append(records, tlsa+" TLSA "+data)
		}
	case "failed":
		s.zone.SetFault(tlsa, mxtest.Fault{Rcode: mx.ServFail})
	}
	for _, n := range []string{domain, host, tlsa} {
		s.zone.SetAuthentic(n, sit.dane != "unsigned")
	}
	if sit.sts != "absent" {
		records = append(records, fmt.Sprintf("_mta-sts.%s TXT \"v=STSv1; id=1\"", domain))
		mode := map[string]string{"testing": "testing", "enforced": "enforce", "unmatched": "enforce"}[sit.sts]
		if sit.sts != "enforced" {
			host = "other.example"
		}
		s.policies["mta-sts."+domain] = fmt.Sprintf("version: STSv1\nmode: %s\nmx: %s\nmax_age: 86400\n", mode, host)
	}
	if err := s.zone.Add(records...); err != nil {
		s.t.Fatal(err)
	}
}

// RoundTrip is that of the policy hosts.
func (s *security) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain"}},
		Body: io.NopCloser(strings.NewReader(s.policies[r.URL.Host])),
	}, nil
}

// start runs a Sender with both routers, in one order or the other.
func (s *security) start(stsOutside bool) {
	dns := &dnsclient.Client{Servers: []string{s.zone.Addr()}}
	sts := &mtasts.Router{DNS: dns, Transport: s}
	protected := &dane.Router{DNS: dns}
	s.t.Cleanup(sts.Close)
	resolver := &mx.Resolver{DNS: dns, AllowPrivate: true}
	if stsOutside {
		sts.Inner, protected.Inner, s.config.Router = protected, resolver, sts
	} else {
		sts.Inner, protected.Inner, s.config.Router = resolver, sts, protected
	}
	sender, err := delivery.New(memqueue.New(), s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.sender = sender
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := sender.Run(ctx); err != nil {
			s.t.Errorf("Run: %v", err)
		}
	})
	s.t.Cleanup(func() { cancel(); running.Wait() })
}

// send sends a message to a domain.
func (s *security) send(domain string, sit situation) {
	m := delivery.Message{
		From: "ann@postroad.example", To: []delivery.Recipient{{Address: "ben@" + domain, Notify: queue.NotifyNever}},
		Body: strings.NewReader("Subject: hi\r\n\r\n"),
	}
	switch sit.demand {
	case "optional":
		m.Body = strings.NewReader("Subject: hi\r\nTLS-Required: No\r\n\r\n")
	case "requiretls":
		m.TLS = queue.RequireTLS
	}
	s.ended.Add(1)
	if _, err := s.sender.Enqueue(context.Background(), m); err != nil {
		s.t.Fatal(err)
	}
}

func (s *security) observe(e delivery.Event) {
	a, ok := e.(delivery.Attempted)
	if !ok {
		return
	}
	_, domain, _ := strings.Cut(a.Recipient, "@")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[domain] = a
	if a.Outcome != delivery.OutcomeDeferred || a.Try == attemptsEach {
		s.ended.Done()
	}
}

// outcome says what became of the message to a domain.
func (s *security) outcome(domain string, sit situation) string {
	s.mu.Lock()
	a := s.last[domain]
	s.mu.Unlock()
	switch a.Outcome {
	case delivery.OutcomeDeferred:
		return "waits"
	case delivery.OutcomeFailed:
		if a.Reply.Enhanced != "5.7.30" {
			return fmt.Sprintf("bounces: %+v", a.Reply)
		}
		return "bounces"
	}
	server := s.servers[fmt.Sprintf("127.0.1.%d:25", slices.Index(columns[3], sit.host))]
	for _, m := range server.Messages() {
		switch {
		case m.To[0].Address != "ben@"+domain:
		case strings.Contains(m.Params, "REQUIRETLS") != (sit.demand == "requiretls"):
			return "MAIL said " + m.Params
		case m.TLS != nil:
			return "encrypted"
		case a.Try == 2:
			return "later"
		case a.Try == 1:
			return "plaintext"
		}
	}
	return fmt.Sprintf("%+v", a)
}
