//go:build linux

package delivery_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient/smtptest"
	"github.com/postroad/postroad/smtpclient/smtptest/freeport"
)

// What a real server shows of TLS is remembered, over a restart of the Sender, and what it loses is waited for.
func TestDowngradeOfPostfix(t *testing.T) {
	p := startPostfix(t)
	q, err := boltqueue.Open(filepath.Join(t.TempDir(), "mail.db"), boltqueue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	s := p.sender(q, time.Hour)
	s.door.Store(&p.trusted)
	s.send("ann@example.org")
	s.wait("delivered", 1)
	p.wantTaken("ann@example.org", "TLSv1")

	for i, door := range []*string{&p.untrusted, &p.plain} {
		s.door.Store(door)
		s.send(fmt.Sprintf("ann%d@example.org", i))
		s.wait("deferred", 3) // often enough, but not for long enough
	}
	s.stop()

	s = p.sender(q, time.Millisecond)
	s.door.Store(&p.plain)
	s.wait("downgraded", 1)
	p.wantTaken("ann0@example.org", "")
	p.wantTaken("ann1@example.org", "")
	s.stop()
}

// A real server whose handshakes fail gets a message in plaintext at the second attempt, and none that demands TLS.
func TestBrokenTLSOfPostfix(t *testing.T) {
	p := startPostfix(t)
	q, err := boltqueue.Open(filepath.Join(t.TempDir(), "mail.db"), boltqueue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	s := p.sender(q, time.Hour)
	s.door.Store(&p.broken)
	s.send("ann@example.org")
	if first := s.wait("deferred", 1); first.Reply.Phase != "starttls" {
		t.Errorf("%+v", first.Reply)
	}
	if last := s.wait("delivered", 1); last.Try != 2 || last.TLS != "" {
		t.Errorf("%+v", last)
	}
	p.wantTaken("ann@example.org", "")
	s.demand("ann0@example.org", queue.TLSRequired)
	s.wait("deferred", 4)
	s.stop()
	if names := p.mailbox("ann0@example.org"); len(names) > 0 {
		t.Error("sent without TLS")
	}
}

// postfix is a server of the test's own, with a door for each way to have TLS: with a certificate that the Sender trusts, with
// another, without any so that handshakes fail, and without TLS.
type postfix struct {
	t                                 *testing.T
	dir                               string
	roots                             *x509.CertPool
	trusted, untrusted, broken, plain string
}

func startPostfix(t *testing.T) *postfix {
	if os.Getuid() != 0 {
		missing(t, "only root can start Postfix")
	}
	if _, err := exec.LookPath("postfix"); err != nil {
		missing(t, "Debian's package postfix is not installed: "+err.Error())
	}
	dir, err := os.MkdirTemp("", "postroad") // which other users may enter
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	for _, name := range []string{"queue", "data", "mail", "etc"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	const nobody = 65534
	must(t, os.Chown(filepath.Join(dir, "mail"), nobody, nobody))
	var owner int
	out, err := exec.Command("id", "-u", "postfix").Output()
	must(t, err)
	_, err = fmt.Sscan(string(out), &owner)
	must(t, err)
	must(t, os.Chown(filepath.Join(dir, "data"), owner, -1))
	p := &postfix{t: t, dir: dir, roots: x509.NewCertPool()}
	p.roots.AddCert(p.certificate("trusted").Certificates[0].Leaf)
	p.certificate("untrusted")
	must(t, os.WriteFile(p.path("etc/main.cf"), fmt.Appendf(nil, postfixMain, dir), 0o644))
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(p.path("mail.log"))
			t.Logf("Postfix's log:\n%s", log)
		}
	})
	for range 3 { // somebody may take a free port
		if p.start() {
			return p
		}
	}
	t.Fatal("Postfix does not start")
	return nil
}

func (p *postfix) path(name string) string { return filepath.Join(p.dir, name) }

// certificate makes a new one, with its key in a file.
func (p *postfix) certificate(name string) *tls.Config {
	config, _, err := smtptest.NewTLSConfig("postfix.example")
	must(p.t, err)
	c := config.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	must(p.t, err)
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})...)
	must(p.t, os.WriteFile(p.path("etc/"+name+".pem"), text, 0o600))
	return config
}

// start runs Postfix's master process itself, so that it can be stopped by its number.
func (p *postfix) start() bool {
	var doors strings.Builder
	var free []net.Listener
	for _, d := range []struct {
		addr    *string
		options string
	}{
		{&p.trusted, "-o smtpd_tls_chain_files=" + p.path("etc/trusted.pem")},
		{&p.untrusted, "-o smtpd_tls_chain_files=" + p.path("etc/untrusted.pem")},
		{&p.broken, "-o smtpd_tls_cert_file=none"},
		{&p.plain, "-o smtpd_tls_security_level=none"},
	} {
		l, err := freeport.Listen()
		must(p.t, err)
		free = append(free, l)
		*d.addr = l.Addr().String()
		fmt.Fprintf(&doors, "%s inet n - n - - smtpd %s\n", *d.addr, d.options)
	}
	must(p.t, os.WriteFile(p.path("etc/master.cf"), []byte(doors.String()+postfixMaster), 0o644))
	if out, err := exec.Command("postfix", "-c", p.path("etc"), "check").CombinedOutput(); err != nil {
		p.t.Fatalf("postfix check: %v: %s", err, out)
	}
	daemons, err := exec.Command("postconf", "-c", p.path("etc"), "-h", "daemon_directory").Output()
	must(p.t, err)
	for _, l := range free {
		l.Close()
	}
	return p.run(exec.Command(filepath.Join(strings.TrimSpace(string(daemons)), "master"), "-c", p.path("etc")))
}

// run starts a program, which ends with the test, and waits until all doors are open, or the program has ended.
func (p *postfix) run(cmd *exec.Cmd) bool {
	must(p.t, cmd.Start())
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	p.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	for _, addr := range []string{p.trusted, p.untrusted, p.broken, p.plain} {
		for {
			if c, err := net.Dial("tcp", addr); err == nil {
				c.Close()
				break
			}
			select {
			case <-ended:
				return false
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return true
}

func (p *postfix) mailbox(address string) []string {
	names, err := filepath.Glob(p.path(filepath.Join("mail", address, "new", "*")))
	must(p.t, err)
	return names
}

// wantTaken waits for a message in a mailbox, and checks what its Received field says of TLS.
func (p *postfix) wantTaken(address, version string) {
	p.t.Helper()
	var names []string
	for end := time.Now().Add(time.Minute); len(names) == 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		names = p.mailbox(address)
	}
	if len(names) != 1 {
		p.t.Fatalf("%d messages for %s", len(names), address)
	}
	text, err := os.ReadFile(names[0])
	must(p.t, err)
	if strings.Contains(string(text), "(using TLSv1") != (version != "") {
		p.t.Errorf("%s: want TLS %q, in\n%s", address, version, text)
	}
}

// postfixSender is a Sender that sends everything to one of the server's doors.
type postfixSender struct {
	p      *postfix
	sender *delivery.Sender
	events chan delivery.Event
	stop   func()
	door   atomic.Pointer[string]
}

func (p *postfix) sender(q queue.Queue, downgradeAfter time.Duration) *postfixSender {
	s := &postfixSender{p: p, events: make(chan delivery.Event, 10_000)}
	s.door.Store(&p.trusted)
	sender, err := delivery.New(q, delivery.Config{
		Hostname: "postroad.example",
		Router: mx.RouterFunc(func(_ context.Context, domain string) (*mx.Route, error) {
			door := netip.MustParseAddrPort(*s.door.Load())
			return &mx.Route{Site: "postfix", Hosts: []mx.Host{{
				Name: "postfix.example", Addrs: []netip.Addr{door.Addr()}, Port: door.Port(), Domains: []string{domain},
			}}}, nil
		}),
		Retry:          retry.Schedule{50 * time.Millisecond},
		Shaping:        shaping.Policy{Default: shaping.Limits{Rest: time.Millisecond, Messages: 1}},
		DowngradeAfter: downgradeAfter,
		TLS:            &tls.Config{RootCAs: p.roots},
		Observer:       delivery.ObserverFunc(func(e delivery.Event) { s.events <- e }),
	})
	must(p.t, err)
	s.sender = sender
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sender.Run(ctx) }()
	s.stop = func() {
		cancel()
		must(p.t, <-done)
	}
	return s
}

func (s *postfixSender) send(to string) { s.demand(to, queue.TLSDefault) }

func (s *postfixSender) demand(to string, demand queue.TLS) {
	_, err := s.sender.Enqueue(s.p.t.Context(), delivery.Message{
		To: delivery.To(to), TLS: demand, Body: strings.NewReader("Subject: hi\r\n\r\nHi.\r\n"),
	})
	must(s.p.t, err)
}

// wait waits for n events of a kind, and returns the last of them, if it is of an attempt.
func (s *postfixSender) wait(kind string, n int) (last delivery.Attempted) {
	s.p.t.Helper()
	limit := time.After(time.Minute)
	for n > 0 {
		select {
		case e := <-s.events:
			a, attempted := e.(delivery.Attempted)
			_, downgraded := e.(delivery.Downgraded)
			if attempted && string(a.Outcome) == kind || downgraded && kind == "downgraded" {
				last = a
				n--
			}
		case <-limit:
			s.p.t.Fatalf("%d more %s should come", n, kind)
		}
	}
	return last
}

const postfixMain = `
compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/mail.log
maillog_file_prefixes = %[1]s
myhostname = postfix.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
biff = no
in_flow_delay = 0
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
virtual_mailbox_domains = example.org
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = inline:{ ann@example.org=ann@example.org/, ann0@example.org=ann0@example.org/, ann1@example.org=ann1@example.org/ }
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
`

const postfixMaster = `cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`

// missing skips the test for want of something to test with, or fails it where everything has to be there.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
