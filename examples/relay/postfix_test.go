package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postroad/postroad/smtpclient/smtptest/freeport"
)

// nobody's user and group own the mailboxes and what smtp-sink writes.
const nobody = 65534

// postfix is a Postfix of the test's own: its configuration, queue, mailboxes and log are in one folder, and it listens on
// loopback only. It has the domains example.org and example.net, encrypts with a certificate that nobody trusts, asks no DNS,
// and sends everything else to a relay.
type postfix struct {
	t    *testing.T
	dir  string
	addr string
}

// mailboxes are the users whom the server knows.
var mailboxes = []string{"alice@example.org", "bob@example.net", "carol@example.net"}

// needPostfix skips the test where there is no Postfix to test with.
func needPostfix(t *testing.T) {
	t.Helper()
	why := ""
	if os.Getuid() != 0 {
		why = "Postfix can be started by root only"
	}
	for _, name := range []string{"postfix", "smtp-source", "smtp-sink"} {
		if _, err := exec.LookPath(name); err != nil {
			why = "Debian's package postfix is not installed: " + err.Error()
		}
	}
	if why != "" && os.Getenv("CI") == "true" {
		t.Fatal(why)
	} else if why != "" {
		t.Skip(why)
	}
}

// startPostfix starts a server that sends to relay what isn't for its own domains.
func startPostfix(t *testing.T, relay string) *postfix {
	t.Helper()
	p := &postfix{t: t, dir: openDir(t)}
	for _, name := range []string{"etc", "queue", "data", "mail"} {
		if err := os.Mkdir(filepath.Join(p.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.chown("mail", nobody)
	p.chown("data", p.owner())
	p.writeCertificate()
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(p.dir, "mail.log"))
			t.Logf("Postfix's log:\n%s", log)
		}
	})
	for range 3 { // somebody may take the free port
		if p.addr = freeAddr(t); p.start(relay) {
			return p
		}
	}
	t.Fatal("Postfix does not start")
	return nil
}

// openDir is a folder that other users may enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "postroad")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// freeAddr is a loopback address at which nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := freeport.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// listens waits until somebody listens at addr, or ended is closed.
func listens(addr string, ended <-chan struct{}) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		select {
		case <-ended:
			return false
		default:
		}
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return true
		}
	}
	return false
}

// start writes the configuration and starts the server. It is Postfix's master process itself that runs, so that it can be
// stopped by its number.
func (p *postfix) start(relay string) bool {
	p.write("etc/main.cf", fmt.Sprintf(mainCF, p.dir, strings.Join(users(), ", "), nobody, relay))
	p.write("etc/master.cf", p.addr+masterCF)
	etc := filepath.Join(p.dir, "etc")
	if out, err := exec.Command("postfix", "-c", etc, "check").CombinedOutput(); err != nil { // this makes the queue's folders
		p.t.Fatalf("postfix check: %v: %s", err, out)
	}
	daemons, err := exec.Command("postconf", "-c", etc, "-h", "daemon_directory").Output()
	if err != nil {
		p.t.Fatalf("postconf: %v", err)
	}
	return startServer(p.t, p.addr, exec.Command(filepath.Join(strings.TrimSpace(string(daemons)), "master"), "-c", etc))
}

// startServer runs a server until the test ends, and waits until it listens.
func startServer(t *testing.T, addr string, cmd *exec.Cmd) bool {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	if !listens(addr, ended) {
		cmd.Process.Kill()
		<-ended
		return false
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	return true
}

// users is the table of mailboxes.
func users() (list []string) {
	for _, address := range mailboxes {
		list = append(list, address+"="+address+"/")
	}
	return list
}

const mainCF = `
compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/mail.log
maillog_file_prefixes = %[1]s
myhostname = postfix.example
myorigin = $myhostname
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
biff = no
in_flow_delay = 0

# Names are not looked up, and headers are left as they are.
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
local_header_rewrite_clients =

virtual_mailbox_domains = example.org, example.net
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = inline:{ %[2]s }
virtual_uid_maps = static:%[3]d
virtual_gid_maps = static:%[3]d

smtpd_tls_security_level = may
smtpd_tls_chain_files = %[1]s/etc/key.pem, %[1]s/etc/cert.pem
smtpd_tls_received_header = yes
smtp_tls_security_level = may

relayhost = %[4]s
`

const masterCF = ` inet n - n - - smtpd
cleanup    unix  n  -  n  -     0  cleanup
qmgr       unix  n  -  n  300   1  qmgr
tlsmgr     unix  -  -  n  1000? 1  tlsmgr
rewrite    unix  -  -  n  -     -  trivial-rewrite
bounce     unix  -  -  n  -     0  bounce
defer      unix  -  -  n  -     0  bounce
trace      unix  -  -  n  -     0  bounce
verify     unix  -  -  n  -     1  verify
proxymap   unix  -  -  n  -     -  proxymap
proxywrite unix  -  -  n  -     1  proxymap
smtp       unix  -  -  n  -     -  smtp
relay      unix  -  -  n  -     -  smtp
error      unix  -  -  n  -     -  error
retry      unix  -  -  n  -     -  error
virtual    unix  -  n  n  -     -  virtual
anvil      unix  -  -  n  -     1  anvil
scache     unix  -  -  n  -     1  scache
postlog    unix-dgram n - n -   1  postlogd
`

func (p *postfix) write(name, content string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *postfix) chown(name string, uid int) {
	p.t.Helper()
	if err := os.Chown(filepath.Join(p.dir, name), uid, -1); err != nil {
		p.t.Fatal(err)
	}
}

// owner is the user that Postfix runs as.
func (p *postfix) owner() (uid int) {
	p.t.Helper()
	out, err := exec.Command("id", "-u", "postfix").Output()
	if err == nil {
		_, err = fmt.Sscan(string(out), &uid)
	}
	if err != nil {
		p.t.Fatalf("there is no user postfix: %v", err)
	}
	return uid
}

// writeCertificate makes a certificate that nobody trusts.
func (p *postfix) writeCertificate() {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "somebody.else.example"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		p.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write("etc/cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	p.write("etc/key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	if err := os.Chmod(filepath.Join(p.dir, "etc/key.pem"), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// take waits until n messages are in a mailbox, and empties it. The order is that of arrival, roughly.
func (p *postfix) take(address string, n int) []string {
	p.t.Helper()
	return takeFiles(p.t, filepath.Join(p.dir, "mail", address, "new"), n)
}

// takeFiles waits until there are n files in a folder, and removes them.
func takeFiles(t *testing.T, dir string, n int) (list []string) {
	t.Helper()
	var names []string
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		names, _ = filepath.Glob(filepath.Join(dir, "*"))
		if len(names) >= n {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d messages in %s, want %d", len(names), dir, n)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(data))
		os.Remove(name)
	}
	if len(list) != n {
		t.Errorf("%d messages in %s, want %d", len(list), dir, n)
	}
	return list
}
