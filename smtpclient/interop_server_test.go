//go:build linux

package smtpclient_test

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postroad/postroad/smtpclient/smtptest"
	"github.com/postroad/postroad/smtpclient/smtptest/freeport"
)

// patience is how long to wait for what must happen. Nothing takes nearly as long; it ends a test that hangs.
const patience = time.Minute

// mostRecipients is how many each server takes at once, fewer than some letters have.
const mostRecipients = 7

// nobody's user and group own the mailboxes.
const nobody = 65534

// mailServer is a server that runs until the test ends.
type mailServer struct {
	addr   string
	name   string         // its certificate proves it
	roots  *x509.CertPool // trusts the certificate
	lmtp   bool
	noTLS  bool     // handshakes fail
	unsure bool     // answers 502 to a chunk that nobody is to get, as if it didn't know BDAT
	offers []string // those of the keywords after EHLO that matter here, or may be missing
	logins []string // mechanisms of AUTH, best first
	refuse int      // the code for an address that nobody has
	boxes  mailboxes
	taken  []byte // what wait returned last
}

// mailboxes is where a server puts what it is sent.
type mailboxes interface {
	// take removes a message, whose lines end in CRLF, from the mailbox of an address, if there is one.
	take(address string) (text []byte, ok bool)
}

// maildirs are mailboxes in a folder.
type maildirs string

// take makes CRLF of the LF that lines in files have. Nothing that is sent here has one without the other.
func (m maildirs) take(address string) ([]byte, bool) {
	names, _ := filepath.Glob(filepath.Join(string(m), address, "new", "*"))
	if len(names) == 0 {
		return nil, false
	}
	text, err := os.ReadFile(names[0])
	if err != nil || os.Remove(names[0]) != nil {
		return nil, false
	}
	return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")), true
}

// functionName is what a server is called, such as Postfix for startPostfix.
func functionName(f any) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	return name[strings.LastIndex(name, ".start")+len(".start"):]
}

// missing skips the test for want of something to test with, or fails it where everything has to be there.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
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

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(content), 0o644))
}

func chown(t *testing.T, name string, id int) {
	t.Helper()
	must(t, os.Chown(name, id, id))
}

// writeCertificate writes key.pem and cert.pem for a host.
func writeCertificate(t *testing.T, dir, name string) *x509.CertPool {
	t.Helper()
	config, roots, err := smtptest.NewTLSConfig(name)
	must(t, err)
	c := config.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	must(t, err)
	write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})))
	write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	must(t, os.Chmod(filepath.Join(dir, "key.pem"), 0o600))
	return roots
}

// showLog shows a server's log if the test fails.
func showLog(t *testing.T, name string) {
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(name)
			t.Logf("the server's log:\n%s", log)
		}
	})
}

// freePort is a port on loopback at which nobody listens.
func freePort(t *testing.T) (addr, port string) {
	t.Helper()
	l, err := freeport.Listen()
	must(t, err)
	defer l.Close()
	_, port, err = net.SplitHostPort(l.Addr().String())
	must(t, err)
	return l.Addr().String(), port
}

// runServer starts the program that command makes for a free port, which it ends, with all it has started, with the test. It returns
// the address when somebody listens there.
func runServer(t *testing.T, command func(addr, port string) *exec.Cmd) (addr string) {
	t.Helper()
	for range 3 { // somebody may take the free port
		addr, port := freePort(t)
		if startProcess(t, addr, command(addr, port)) {
			return addr
		}
	}
	t.Fatal("the server does not start")
	return ""
}

func startProcess(t *testing.T, addr string, cmd *exec.Cmd) bool {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log")
	must(t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	must(t, cmd.Start())
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	showLog(t, log.Name())
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	return listens(addr, ended)
}

// listens waits until somebody listens at addr, or ended is closed.
func listens(addr string, ended <-chan struct{}) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
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

// chroot is a folder with a server and as much of a system as it needs. That is how servers run here that can't be installed
// together, and have their users, folders and programs compiled in.
type chroot struct {
	dir string
}

// unpacked is the folder that has the files of Debian's packages exim4-daemon-light and opensmtpd.
func unpacked() string {
	return cmp.Or(os.Getenv("POSTROAD_SERVERS"), filepath.Join(os.TempDir(), "postroad-servers"))
}

// newChroot makes a folder with programs: files or folders below that of unpacked.
func newChroot(t *testing.T, passwd string, programs ...string) *chroot {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "only root can change the root")
	}
	c := &chroot{dir: newFolder(t)}
	for _, p := range programs {
		from := filepath.Join(unpacked(), p)
		if _, err := os.Stat(from); err != nil {
			missing(t, "Debian's package is not unpacked: "+err.Error())
		}
		must(t, filepath.WalkDir(from, func(name string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(unpacked(), name)
			c.copy(t, name, rel)
			return err
		}))
	}
	c.copy(t, "/bin/sh", "bin/sh")
	write(t, c.path("etc/passwd"), passwd)
	write(t, c.path("etc/group"), regexp.MustCompile(`(?m)^(\w[^:]*:x:)(\d+):.*$`).ReplaceAllString(passwd, "$1$2:"))
	for name, mode := range map[string]os.FileMode{"dev": 0o755, "mail": 0o755, "tmp": 0o777} {
		must(t, os.Mkdir(c.path(name), mode))
		must(t, os.Chmod(c.path(name), mode))
	}
	chown(t, c.path("mail"), nobody)
	if err := syscall.Mknod(c.path("dev/null"), syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
		missing(t, "can't make /dev/null: "+err.Error())
	}
	must(t, os.Chmod(c.path("dev/null"), 0o666))
	return c
}

func (c *chroot) path(name string) string { return filepath.Join(c.dir, name) }

// copy copies a program and its libraries.
func (c *chroot) copy(t *testing.T, from, to string) {
	t.Helper()
	files := map[string]string{from: to}
	libraries, _ := exec.Command("ldd", from).Output() // fails for what isn't linked with any
	if bytes.Contains(libraries, []byte("not found")) {
		missing(t, from+" lacks libraries: "+string(libraries))
	}
	for _, l := range regexp.MustCompile(`/\S+`).FindAllString(string(libraries), -1) {
		files[l] = l
	}
	for from, to := range files {
		must(t, copyFile(from, c.path(to)))
	}
}

func copyFile(from, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if closed := dst.Close(); err == nil {
		err = closed
	}
	return err
}

// command is a program that sees nothing outside the folder.
func (c *chroot) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: c.dir}
	return cmd
}
