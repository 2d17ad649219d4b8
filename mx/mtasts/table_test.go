package mtasts

import (
	"crypto/tls"
	"crypto/x509"
	"go/parser"
	"go/token"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/postroad/postroad/mx"
)

// The values of a table's columns, in place of "any".
var columns = map[string][]string{
	"MTA-STS": {"absent", "none", "testing", "enforce"},
	"MX host": {"matched", "unmatched"},
	"TLS":     {"none", "invalid", "valid"},
}

// row is a case of the table in the package's documentation.
type row struct{ policy, host, tls, outcome, told string }

// TestOutcomes does what the table says, and finds each combination in it once.
func TestOutcomes(t *testing.T) {
	ca := newAuthority(t)
	servers := map[string][]*server{"none": {{}}}
	for tls, list := range map[string][]tls.Certificate{
		"valid":   {ca.issue(nil, "mx.example.org"), ca.issue(nil, "*.example.org")},
		"invalid": {ca.issue(nil, "example.org"), ca.issue(expired, "mx.example.org"), newAuthority(t).issue(nil, "mx.example.org")},
	} {
		for _, c := range list {
			servers[tls] = append(servers[tls], newServer(t, c))
		}
	}
	seen := make(map[row]bool)
	for _, r := range documented(t) {
		for _, c := range r.expand() {
			key := row{policy: c.policy, host: c.host, tls: c.tls}
			if seen[key] {
				t.Errorf("%+v is in the table twice", key)
			}
			seen[key] = true
			for _, s := range servers[c.tls] {
				c.test(t, s, ca.pool())
			}
		}
	}
	if want := len(columns["MTA-STS"]) * len(columns["MX host"]) * len(columns["TLS"]); len(seen) != want {
		t.Errorf("the table has %d of %d combinations", len(seen), want)
	}
}

// documented reads the table.
func documented(t *testing.T) (rows []row) {
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var header []string
	for line := range strings.Lines(file.Doc.Text()) {
		if !strings.HasPrefix(line, "\t") {
			continue
		}
		cells := strings.Fields(strings.ReplaceAll(line, "MX host", "MX-host"))
		if header == nil {
			header = cells
			continue
		}
		if len(cells) != 5 {
			t.Fatalf("row %q", line)
		}
		rows = append(rows, row{cells[0], cells[1], cells[2], cells[3], cells[4]})
	}
	if !slices.Equal(header, []string{"MTA-STS", "MX-host", "TLS", "outcome", "told"}) {
		t.Fatalf("header %q", header)
	}
	return rows
}

// expand replaces "any" by each value.
func (r row) expand() (rows []row) {
	values := func(cell, column string) []string {
		if cell == "any" {
			return columns[column]
		}
		return []string{cell}
	}
	for _, policy := range values(r.policy, "MTA-STS") {
		for _, host := range values(r.host, "MX host") {
			for _, tls := range values(r.tls, "TLS") {
				rows = append(rows, row{policy, host, tls, r.outcome, r.told})
			}
		}
	}
	return rows
}

func (r row) test(t *testing.T, s *server, roots *x509.CertPool) {
	t.Helper()
	w := newWorld(t)
	defer w.Close()
	w.hosts = []string{"mx.example.org"}
	pattern := map[string]string{"matched": "*.example.org", "unmatched": "*.example.net"}[r.host]
	if mode := slices.Index(columns["MTA-STS"], r.policy) - 1; mode >= 0 {
		w.announce("example.org", "1", file(Mode(mode), week, pattern))
	}
	outcome := "left-out"
	if route, err := w.Route(t.Context(), "example.org"); err == nil {
		outcome = s.meet(route.Hosts[0], roots)
	}
	told := "no"
	if w.told() != "" {
		told = "yes"
	}
	if outcome != r.outcome || told != r.told {
		t.Errorf("%+v: %s, told: %s", r, outcome, told)
	}
}

// server stands for a mail host; one without a listener has no TLS.
type server struct{ listener net.Listener }

func newServer(t *testing.T, c tls.Certificate) *server {
	s := httptest.NewUnstartedServer(nil)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{c}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return &server{s.Listener}
}

// meet does what package mx says that a host's TLS demands.
func (s *server) meet(host mx.Host, roots *x509.CertPool) string {
	if s.listener == nil {
		if host.TLS == mx.Opportunistic && host.Verify == nil {
			return "plaintext"
		}
		return "refused"
	}
	conn, err := tls.Dial("tcp", s.listener.Addr().String(), &tls.Config{
		ServerName: host.Name, RootCAs: roots, InsecureSkipVerify: host.TLS != mx.Verified, VerifyConnection: host.Verify,
	})
	if err != nil {
		return "refused"
	}
	conn.Close()
	if host.TLS == mx.Verified {
		return "verified"
	}
	return "encrypted"
}
