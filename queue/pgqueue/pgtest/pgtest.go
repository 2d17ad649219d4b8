// Package pgtest starts PostgreSQL, and PgBouncer, for tests.
package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postroad/postroad/smtpclient/smtptest/freeport"
)

// Variable names a database to use instead of a server of one's own, as a URL or as "key=value" pairs. Its role needs the right
// to create schemas.
const Variable = "POSTROAD_TEST_DATABASE_URL"

// Database returns the address of a database: that of [Variable], or of a server that is started and lasts as long as the
// test, and that syncs nothing to be quick. Where there is none the test is skipped, or fails if CI is "true".
func Database(t testing.TB) string {
	t.Helper()
	if url := os.Getenv(Variable); url != "" {
		return url
	}
	return Start(t, "fsync=off").URL()
}

// With adds a setting, as "name=value", to the address of a database.
func With(url, setting string) string {
	switch {
	case !strings.Contains(url, "://"):
		return url + " " + setting
	case strings.Contains(url, "?"):
		return url + "&" + setting
	}
	return url + "?" + setting
}

// Pool connects to a database.
func Pool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// Schema names a schema that is dropped when the test is over.
func Schema(t testing.TB, url string) string {
	t.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), time.Now().UnixNano())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		c, err := pgx.Connect(ctx, url)
		if err == nil {
			defer c.Close(ctx)
			_, err = c.Exec(ctx, "DROP SCHEMA IF EXISTS "+pgx.Identifier{name}.Sanitize()+" CASCADE")
		}
		if err != nil {
			t.Errorf("dropping the schema of the test: %v", err)
		}
	})
	return name
}

// Server is a PostgreSQL of one's own, which listens on 127.0.0.1 and keeps everything in a temporary folder.
type Server struct {
	Dir  string // of the server, with its data in "data"
	Port int

	bin     string
	options []string
	mu      sync.Mutex
	process *program
}

// Start starts a server, with these settings ("name=value") beside the usual ones. It lasts as long as the test.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := &Server{bin: binaries(t), Dir: folder(t), Port: freePort(t)}
	data := filepath.Join(s.Dir, "data")
	initdb := command(t, s.Dir, filepath.Join(s.bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	s.options = []string{"-D", data, "-k", s.Dir, "-p", strconv.Itoa(s.Port), "-c", "listen_addresses=127.0.0.1"}
	for _, setting := range settings {
		s.options = append(s.options, "-c", setting)
	}
	t.Cleanup(func() { s.Stop(t, os.Interrupt) })
	s.Restart(t)
	return s
}

// URL is the address of the server's database.
func (s *Server) URL() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.Port)
}

// Stop ends the server: SIGINT is a fast shutdown, which ends all sessions, and SIGQUIT an immediate one, which is a crash.
func (s *Server) Stop(t testing.TB, signal os.Signal) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.stop(t, signal)
		s.process = nil
	}
}

// Restart starts a server that was stopped.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = start(t, command(t, s.Dir, filepath.Join(s.bin, "postgres"), s.options...))
	s.process.await(t, s.URL())
}

// Bounce starts a PgBouncer in transaction mode in front of the server, and returns the address to connect to. Where there is
// none the test is skipped, or fails if CI is "true".
func (s *Server) Bounce(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path = "/usr/sbin/pgbouncer"
	}
	if _, err := os.Stat(path); err != nil {
		missing(t, "PgBouncer is not installed")
	}
	dir, port := folder(t), freePort(t)
	config := fmt.Sprintf(`[databases]
postgres = host=127.0.0.1 port=%d dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 8
max_client_conn = 200
`, s.Port, port)
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, command(t, dir, path, file))
	t.Cleanup(func() { p.stop(t, os.Kill) })
	url := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
	p.await(t, With(url, "default_query_exec_mode=exec"))
	return url
}

// program is a server's process.
type program struct {
	cmd   *exec.Cmd
	log   bytes.Buffer // complete when over is closed
	over  chan struct{}
	state error
}

func start(t testing.TB, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{cmd: cmd, over: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.state = cmd.Wait()
		close(p.over)
	}()
	return p
}

func (p *program) stop(t testing.TB, signal os.Signal) {
	_ = p.cmd.Process.Signal(signal) // it may have ended
	<-p.over
	if t.Failed() {
		const last = 10_000
		t.Logf("%s: %s", filepath.Base(p.cmd.Path), p.log.Bytes()[max(0, p.log.Len()-last):])
	}
}

// await waits until the program can be connected to.
func (p *program) await(t testing.TB, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, url)
		if err == nil {
			_ = c.Close(ctx)
			return
		}
		select {
		case <-p.over:
			t.Fatalf("%s has ended: %v\n%s", p.cmd.Path, p.state, &p.log)
		case <-ctx.Done():
			t.Fatalf("%s doesn't start: %v", p.cmd.Path, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// binaries finds where initdb and postgres are: in the PATH, or where Debian has them.
func binaries(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		missing(t, "PostgreSQL is not installed, and "+Variable+" not set")
	}
	return filepath.Dir(found[len(found)-1])
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// folder is a temporary one, with a path that is short enough for sockets in it, and that the server's user may enter.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := freeport.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// command is one that runs in dir, as another user if this one is root, which PostgreSQL refuses.
func command(t testing.TB, dir, path string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(path, args...)
	c.Dir = dir
	if os.Getuid() != 0 {
		return c
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
		become(c, uint32(uid), uint32(gid))
		return c
	}
	missing(t, "there is no user to run "+strings.TrimPrefix(filepath.Base(path), "/")+" as")
	return nil
}
