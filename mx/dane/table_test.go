package dane

import (
	"crypto/tls"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/mxtest"
	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// world is what a row of the table in the package's documentation says of a domain and its host.
type world struct{ mx, address, tlsa, tls string }

// worlds are those that a cell stands for.
func worlds(cell world) (list []world) {
	values := func(cell string, all ...string) []string {
		if cell == "any" {
			return all
		}
		return []string{cell}
	}
	for _, m := range values(cell.mx, "unsigned", "signed") {
		for _, address := range values(cell.address, "unsigned", "signed", "failed") {
			for _, tlsa := range values(cell.tlsa, "absent", "unsigned", "unusable", "usable", "failed") {
				for _, tls := range values(cell.tls, "none", "other", "right") {
					list = append(list, world{m, address, tlsa, tls})
				}
			}
		}
	}
	return list
}

// TestOutcomes does what the table says, and finds each combination in it once.
func TestOutcomes(t *testing.T) {
	right := (*identity)(nil).issue(t, nil, "mx.example.org")
	other := (*identity)(nil).issue(t, nil, "mx.example.org")
	servers := map[string]*smtptest.Server{
		"none":  {},
		"other": {StartTLS: true, TLSConfig: other.config()},
		"right": {StartTLS: true, TLSConfig: right.config()},
	}
	for _, s := range servers {
		must(t, s.Start())
		t.Cleanup(s.Close)
	}
	seen := make(map[world]bool)
	for cell, outcome := range documented(t) {
		for _, w := range worlds(cell) {
			if seen[w] {
				t.Errorf("%+v is in the table twice", w)
			}
			seen[w] = true
			if got := w.send(t, servers[w.tls], right); got != outcome {
				t.Errorf("%+v: %s, the table has %s", w, got, outcome)
			}
		}
	}
	if want := len(worlds(world{"any", "any", "any", "any"})); len(seen) != want {
		t.Errorf("the table has %d of %d combinations", len(seen), want)
	}
}

// documented reads the table.
func documented(t *testing.T) map[world]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	must(t, err)
	var rows [][]string
	for line := range strings.Lines(file.Doc.Text()) {
		if strings.HasPrefix(line, "\t") {
			rows = append(rows, strings.Fields(line))
		}
	}
	if len(rows) == 0 || strings.Join(rows[0], " ") != "MX address TLSA TLS outcome" {
		t.Fatalf("no table: %q", rows)
	}
	table := make(map[world]string)
	for _, r := range rows[1:] {
		if len(r) != 5 {
			t.Fatalf("row %q", r)
		}
		table[world{r[0], r[1], r[2], r[3]}] = r[4]
	}
	return table
}

// send says what becomes of a message in w to a host at server, whose right certificate is that of i.
func (w world) send(t *testing.T, server *smtptest.Server, i *identity) string {
	t.Helper()
	port := netip.MustParseAddrPort(server.Addr).Port()
	name := fmt.Sprintf("_%d._tcp.mx.example.org", port)
	zone, err := mxtest.NewServer("example.org MX 10 mx.example.org", "mx.example.org A 127.0.0.1")
	must(t, err)
	defer zone.Close()
	record := i.tlsa(3, 1, 1)
	if w.tlsa == "unusable" {
		record.Usage = 1
	}
	if w.tlsa != "absent" {
		must(t, zone.Add(fmt.Sprintf("%s TLSA %d 1 1 %x", name, record.Usage, record.Data)))
	}
	zone.SetAuthentic("example.org", w.mx == "signed")
	zone.SetAuthentic("mx.example.org", w.address == "signed")
	zone.SetAuthentic(name, w.tlsa != "unsigned")
	for name, is := range map[string]string{"mx.example.org": w.address, name: w.tlsa} {
		if is == "failed" {
			zone.SetFault(name, mxtest.Fault{Rcode: mx.ServFail})
		}
	}
	dns := zone.DNS()
	router := &Router{Inner: &mx.Resolver{DNS: dns, AllowPrivate: true, Port: port}, DNS: dns}
	route, err := router.Route(t.Context(), "example.org")
	if err != nil {
		return "left-out"
	}
	return send(t, &route.Hosts[0])
}

// send says what becomes of a message to a host.
func send(t *testing.T, host *mx.Host) string {
	t.Helper()
	o := &smtpclient.Options{ServerName: host.Name, TLSConfig: &tls.Config{ServerName: host.SNI, VerifyConnection: host.Verify}}
	if host.TLS == mx.Required {
		o.TLS = smtpclient.RequiredTLS
	}
	s, err := smtpclient.Dial(t.Context(), net.JoinHostPort(host.Addrs[0].String(), fmt.Sprint(host.Port)), o)
	if errors.Is(err, ErrCertificate) || errors.Is(err, smtpclient.ErrNoTLS) {
		return "refused"
	}
	must(t, err)
	defer s.Close()
	results, err := s.Send(t.Context(), &smtpclient.Envelope{
		From: "ann@postroad.example", To: []smtpclient.Recipient{{Address: "ben@example.org"}},
	}, strings.NewReader("Subject: hi\r\n\r\n"))
	must(t, err)
	switch {
	case results[0].Err != nil || results[0].Reply.Code != 250:
		return fmt.Sprintf("%+v", results[0])
	case s.TLS() == nil:
		return "plaintext"
	case host.Verify == nil:
		return "encrypted"
	}
	return "authenticated"
}
