package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/postroad/postroad/smtpclient/smtptest/freeport"
)

// server is one that this program has started, on loopback: a mail server, which sends all that it takes to the sink, or a database.
type server struct {
	addr string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

const startLimit = time.Minute

// startServer runs cmd, which is to listen at addr.
func startServer(addr string, cmd *exec.Cmd) (*server, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{addr: addr, cmd: cmd, done: make(chan struct{})}
	go func() { cmd.Wait(); close(s.done) }()
	for end := time.Now().Add(startLimit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		select {
		case <-s.done:
			return nil, fmt.Errorf("%s has ended: %v", cmd.Path, cmd.ProcessState)
		default:
		}
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return s, nil
		}
	}
	s.stop()
	return nil, fmt.Errorf("%s does not listen at %s", cmd.Path, addr)
}

func (s *server) family() family { return family(s.cmd.Process.Pid) }

// stop ends the server.
func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(startLimit):
		s.cmd.Process.Kill()
		<-s.done
	}
}

// freeAddr is a loopback address at which nobody listens.
func freeAddr() (string, error) {
	l, err := freeport.Listen()
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// startRelay builds and starts examples/relay, with everything it keeps in a folder.
func startRelay(dir string, sink netip.AddrPort) (*server, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "relay")
	build := exec.Command("go", "build", "-o", program, "github.com/postroad/postroad/examples/relay")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building examples/relay: %w: %s", err, out)
	}
	log, err := os.Create(filepath.Join(dir, "relay.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "-listen", addr, "-queue", filepath.Join(dir, "mail.db"), "-hostname", "relay.example", "-relay", "smtp://"+sink.String())
	cmd.Stderr = log
	return startServer(addr, cmd)
}

// startPostfix starts a Postfix of our own: its configuration, queue and log are in a folder, and it asks no DNS.
func startPostfix(dir string, sink netip.AddrPort, connections int) (*server, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("only root can start Postfix")
	}
	for _, name := range []string{"etc", "queue", "data"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	daemons, err := exec.Command("postconf", "-h", "daemon_directory").Output()
	if err != nil {
		return nil, fmt.Errorf("is Postfix not installed? %w", err)
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	etc := filepath.Join(dir, "etc")
	err = errors.Join(
		os.Chmod(dir, 0o755), // for Postfix's own user
		exec.Command("chown", "postfix", filepath.Join(dir, "data")).Run(),
		os.WriteFile(filepath.Join(etc, "main.cf"), fmt.Appendf(nil, mainCF, dir, sink.Addr(), sink.Port(), connections), 0o644),
		os.WriteFile(filepath.Join(etc, "master.cf"), []byte(addr+masterCF), 0o644),
	)
	if err != nil {
		return nil, err
	}
	if out, err := exec.Command("postfix", "-c", etc, "check").CombinedOutput(); err != nil { // this makes the queue's folders
		return nil, fmt.Errorf("postfix check: %w: %s", err, out)
	}
	// Its master process itself, so that it can be stopped by its number.
	master := filepath.Join(strings.TrimSpace(string(daemons)), "master")
	server, err := startServer(addr, exec.Command(master, "-c", etc))
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "mail.log"))
		return nil, fmt.Errorf("%w; it needs a -dir that other users may enter: %s", err, log)
	}
	return server, nil
}
