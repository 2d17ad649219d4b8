package pgqueue_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue/pgqueue"
	"github.com/postroad/postroad/queue/pgqueue/pgtest"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// killWorld is all that is not killed: the database, the servers, what they have seen, and what the processes have said.
type killWorld struct {
	url, schema    string
	pool           *pgxpool.Pool
	queue          *pgqueue.Queue
	sender         *delivery.Sender // enqueues, and doesn't run
	capped, others *smtptest.Server
	hosts          map[string]netip.AddrPort // by domain

	living   []*process
	lives    int // so far
	released int
	heirs    sync.WaitGroup

	mu      sync.Mutex            // guards what follows
	queued  map[string]bool       // what was acknowledged
	stored  map[string]int        // which life has said that the delivery is stored
	arrived map[string][]int      // from which lives, in the order of their final dots
	dead    map[int]bool          // lives
	open    map[int]int           // the lives of the connections that the capped server has greeted
	most    int                   // of these at once
	waits   map[string]*waitingAt // by domain
	trouble []string
}

// waitingAt is the mail that waits for a site.
type waitingAt struct {
	names   map[string]bool
	since   time.Time // when the first of it was enqueued, or the site had its last message
	longest time.Duration
}

func newKillWorld(t *testing.T, url string) *killWorld {
	w := &killWorld{
		url: url, schema: pgtest.Schema(t, url), pool: pgtest.Pool(t, url),
		hosts:   make(map[string]netip.AddrPort),
		queued:  make(map[string]bool),
		stored:  make(map[string]int),
		arrived: make(map[string][]int),
		dead:    make(map[int]bool),
		open:    make(map[int]int),
		waits:   make(map[string]*waitingAt),
	}
	w.queue = open(t, w.pool, pgqueue.Options{Schema: w.schema})
	_, err := w.pool.Exec(t.Context(), "CREATE TABLE "+ordersOf(w.schema)+" (name text PRIMARY KEY)")
	must(t, err)
	w.sender, err = delivery.New(w.queue, life{}.config())
	must(t, err)
	w.capped, w.others = smtptest.NewServer(w.count), smtptest.NewServer(w.reply)
	t.Cleanup(w.close)
	w.hosts[cappedDomain] = netip.MustParseAddrPort(w.capped.Addr)
	for n := range otherDomains {
		w.hosts[otherDomain(n)] = netip.MustParseAddrPort(w.others.Addr)
	}
	for domain := range w.hosts {
		w.waits[domain] = &waitingAt{names: make(map[string]bool)}
	}
	return w
}

// close returns when no server runs any more, and no process.
func (w *killWorld) close() {
	for _, p := range w.living {
		p.cmd.Process.Kill() // harmless where it has ended
		<-p.over
	}
	w.capped.Close()
	w.others.Close()
}

// process is a life, seen from outside.
type process struct {
	number     int
	cmd        *exec.Cmd
	in         io.WriteCloser
	complaints bytes.Buffer
	enqueued   chan struct{} // closed when it has enqueued all it had
	over       chan struct{} // closed when it has ended, and all it said was heard; then there are:
	holder     string        // "" if it didn't get that far
	err        error
}

// start adds a process to the living.
func (w *killWorld) start(t *testing.T) {
	t.Helper()
	w.lives++
	text, err := json.Marshal(life{Number: w.lives, URL: w.url, Schema: w.schema, Hosts: w.hosts})
	must(t, err)
	program, err := os.Executable()
	must(t, err)
	p := &process{number: w.lives, cmd: exec.Command(program), enqueued: make(chan struct{}), over: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), lifeVariable+"="+string(text))
	p.cmd.Stderr = &p.complaints
	p.in, err = p.cmd.StdinPipe()
	must(t, err)
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	must(t, p.cmd.Start())
	w.living = append(w.living, p)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); { // what it says until it is dead counts, too
			w.hear(p, strings.Fields(lines.Text()))
		}
		p.err = p.cmd.Wait()
		close(p.over)
	}()
}

// await returns when a process has ended.
func (p *process) await(t *testing.T) {
	t.Helper()
	select {
	case <-p.over:
	case <-time.After(killPatience):
		t.Fatalf("life %d comes to no end", p.number)
	}
}

// hear notes a line of a process.
func (w *killWorld) hear(p *process, line []string) {
	switch {
	case len(line) == 2 && line[0] == "holder":
		p.holder = line[1]
	case len(line) == 3 && line[0] == "queued":
		w.enqueued(killMail{line[1], line[2]})
	case len(line) == 2 && line[0] == "delivered":
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.stored[line[1]] == 0 {
			w.stored[line[1]] = p.number
		}
	case len(line) == 1 && line[0] == "enqueued":
		close(p.enqueued)
	default:
		w.complain(fmt.Errorf("life %d says %q", p.number, line))
	}
}

// enqueued notes a message that was acknowledged.
func (w *killWorld) enqueued(m killMail) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queued[m.name] = true
	if w.arrived[m.name] != nil {
		return
	}
	site := w.waits[m.domain]
	if len(site.names) == 0 {
		site.since = time.Now()
	}
	site.names[m.name] = true
}

// buried notes that a process is dead, and its connections with it.
func (w *killWorld) buried(p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead[p.number] = true
	maps.DeleteFunc(w.open, func(_, life int) bool { return life == p.number })
	w.living = slices.DeleteFunc(w.living, func(o *process) bool { return o == p })
}

// listen notes what a process that has ended has complained of. That is no evidence: it may have lost a connection, or been slow.
func (w *killWorld) listen(p *process) {
	if p.complaints.Len() > 0 {
		w.complain(fmt.Errorf("life %d: %s", p.number, &p.complaints))
	}
}

func (w *killWorld) complain(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trouble = append(w.trouble, err.Error())
}

// count is what the capped server says. A connection counts from EHLO to QUIT, or to its owner's death.
func (w *killWorld) count(c smtptest.Command) string {
	switch c.Verb {
	case "EHLO":
		w.mu.Lock()
		defer w.mu.Unlock()
		if life := lifeOf(c.Message); !w.dead[life] {
			w.open[c.Conn] = life
			w.most = max(w.most, len(w.open))
		}
	case "QUIT":
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, c.Conn)
	}
	return w.reply(c)
}

// reply is what both servers say. They note a message at its final dot, and take their time to answer that.
func (w *killWorld) reply(c smtptest.Command) string {
	if c.Verb == "." {
		w.take(c.Message)
		time.Sleep(100 * time.Millisecond)
	}
	return ""
}

func (w *killWorld) take(m *smtptest.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := nameOf(m.From)
	w.arrived[name] = append(w.arrived[name], lifeOf(m))
	_, domain, _ := strings.Cut(m.To[0].Address, "@")
	site, now := w.waits[domain], time.Now()
	if len(site.names) > 0 {
		site.longest = max(site.longest, now.Sub(site.since))
	}
	delete(site.names, name)
	site.since = now
}

// lifeOf returns the number of the life that sends a message.
func lifeOf(m *smtptest.Message) (life int) {
	fmt.Sscanf(m.Helo, "life%d.example", &life)
	return life
}
