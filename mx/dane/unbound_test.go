//go:build linux

package dane

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postroad/postroad/smtpclient/smtptest/freeport"
)

// nobody is the user that the name server runs as.
const nobody = 65534

// zone is a part of the DNS that has signatures of its own, or none.
type zone struct {
	name    string // with a dot at its end
	parent  string // where it is delegated
	signed  signature
	records string // below a start of authority
}

// signature is what is right or wrong with a zone's.
type signature int

const (
	valid    signature = iota
	unsigned           // as its parent says
	outdated
	tampered // its TLSA records of 3 1 1 were changed when they had been signed
)

// startUnbound starts an unbound that knows these zones, each after those below it, and nothing else, and trusts the key of
// the last. It returns the address.
func startUnbound(t *testing.T, zones ...zone) string {
	t.Helper()
	for _, program := range []string{"unbound", "dnssec-keygen", "dnssec-signzone"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, "Debian's packages unbound and bind9-utils are not installed: "+err.Error())
		}
	}
	dir := newFolder(t)
	for _, z := range zones {
		writeZone(t, dir, z, zones)
	}
	for range 3 { // somebody may take the free port
		addr := freePort(t)
		if startProcess(t, dir, addr, unboundConfig(addr, dir, zones)) {
			return addr
		}
	}
	t.Fatal("unbound does not start")
	return ""
}

// unboundConfig says that all zones are in files, and are to be validated as if they came from elsewhere.
func unboundConfig(addr, dir string, zones []zone) string {
	host, port, _ := net.SplitHostPort(addr)
	var config strings.Builder
	fmt.Fprintf(&config, `server:
	interface: %s
	port: %s
	directory: %q
	chroot: ""
	username: ""
	pidfile: ""
	do-daemonize: no
	use-syslog: no
	module-config: "validator iterator"
	val-log-level: 2
	trust-anchor-file: "dsset-%s"
remote-control:
	control-enable: no
`, host, port, dir, zones[len(zones)-1].name)
	for _, z := range zones {
		fmt.Fprintf(&config, "auth-zone:\n\tname: %q\n\tzonefile: %q\n\tfor-downstream: no\n", z.name, zoneFile(z))
	}
	return config.String()
}

func zoneFile(z zone) string { return "zone-" + z.name }

// writeZone writes a zone with its delegations, and signs it.
func writeZone(t *testing.T, dir string, z zone, all []zone) {
	t.Helper()
	text := "$ORIGIN " + z.name + "\n$TTL 300\n@ SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 60\n@ NS ns.invalid.\n" + z.records
	for _, child := range all {
		if child.parent != z.name {
			continue
		}
		text += "\n" + child.name + " NS ns.invalid.\n"
		if child.signed != unsigned {
			text += "$INCLUDE dsset-" + child.name + "\n"
		}
	}
	file := filepath.Join(dir, zoneFile(z))
	must(t, os.WriteFile(file, []byte(text), 0o644))
	if z.signed == unsigned {
		return
	}
	run(t, dir, "dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", z.name)
	run(t, dir, "dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", z.name)
	args := []string{"-q", "-P", "-S", "-o", z.name, "-f", zoneFile(z)}
	if z.signed == outdated {
		args = append(args, "-s", "20200101000000", "-e", "20200201000000")
	}
	run(t, dir, "dnssec-signzone", append(args, zoneFile(z))...)
	if z.signed == tampered {
		signed, err := os.ReadFile(file)
		must(t, err)
		changed := strings.Replace(string(signed), "3 1 1 ", "3 1 2 ", 1)
		if changed == string(signed) {
			t.Fatalf("nothing to change in\n%s", signed)
		}
		must(t, os.WriteFile(file, []byte(changed), 0o644))
	}
}

func run(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// startProcess reports whether unbound came to listen at addr. It ends with the test.
func startProcess(t *testing.T, dir, addr, config string) bool {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, "unbound.conf"), []byte(config), 0o644))
	log, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	defer log.Close()
	cmd := exec.Command("unbound", "-d", "-c", filepath.Join(dir, "unbound.conf"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	must(t, cmd.Start())
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("unbound's log:\n%s", text)
		}
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
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

// newFolder is a folder that other users may enter.
func newFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "postroad")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// freePort is an address on loopback where nobody listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := freeport.Listen()
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// missing skips the test for want of something to test with, or fails it where everything has to be there.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
