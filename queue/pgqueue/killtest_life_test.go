package pgqueue_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue"
	"github.com/postroad/postroad/retry"
)

// lifeVariable has what the kill test tells its other processes: this program, started again.
const lifeVariable = "PGQUEUE_TEST_LIFE"

func TestMain(m *testing.M) {
	text := os.Getenv(lifeVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var l life
	err := json.Unmarshal([]byte(text), &l)
	if err == nil {
		err = l.live()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// life is one process: a Sender on the queue that others use, too. It says on its standard output, a line for each,
//
//	holder NAME         what it is called among those who share the queue, before it has any share
//	queued NAME DOMAIN  Enqueue has returned nil, or the transaction is committed
//	delivered NAME      the Sender says that this is stored
//	enqueued            that was all it had to enqueue
//
// and ends in order when its standard input does. A line there, with a name and a domain, is an order: it commits that with its mail,
// and kills itself.
type life struct {
	Number      int // it says EHLO with it
	URL, Schema string
	Hosts       map[string]netip.AddrPort // by domain
}

const (
	cappedDomain = "capped.example"
	cappedAt     = 5  // connections
	otherDomains = 24 // each a site of its own
)

// lifeWorkers is how many connections a process has at once: fewer than there are sites.
const lifeWorkers = 16

func (l life) config() delivery.Config {
	return delivery.Config{
		Hostname:    fmt.Sprintf("life%d.example", l.Number),
		Router:      mx.RouterFunc(l.route),
		Retry:       retry.Schedule{100 * time.Millisecond},
		Concurrency: lifeWorkers,
		Shaping: shaping.Policy{Sites: map[string]shaping.Limits{
			cappedDomain: {Connections: cappedAt, Start: cappedAt},
		}},
		Observer: delivery.ObserverFunc(say),
	}
}

func (l life) route(ctx context.Context, domain string) (*mx.Route, error) {
	to := l.Hosts[domain]
	host := mx.Host{Name: "mx." + domain, Addrs: []netip.Addr{to.Addr()}, Port: to.Port()}
	return &mx.Route{Site: domain, Hosts: []mx.Host{host}}, nil
}

// say tells what is stored. Each line is one write, which a kill doesn't divide.
func say(e delivery.Event) {
	switch e := e.(type) {
	case delivery.Delivered:
		fmt.Println("delivered", nameOf(e.Message.From))
	case delivery.Trouble:
		fmt.Fprintln(os.Stderr, e.Key, e.Err)
	}
}

// namedQueue says what its holder is called.
type namedQueue struct {
	*pgqueue.Queue
	once sync.Once
}

func (q *namedQueue) Beat(ctx context.Context, holder string, ttl time.Duration, want map[string]queue.Slots) (map[string]int, error) {
	q.once.Do(func() { fmt.Println("holder", holder) })
	return q.Queue.Beat(ctx, holder, ttl, want)
}

// shop is what a life works with.
type shop struct {
	life
	pool   *pgxpool.Pool
	queue  *namedQueue
	sender *delivery.Sender
}

func (l life) live() error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	pool, err := pgxpool.New(ctx, l.URL)
	if err != nil {
		return err
	}
	defer pool.Close()
	q, err := pgqueue.Open(ctx, pool, pgqueue.Options{Schema: l.Schema})
	if err != nil {
		return err
	}
	s := &shop{life: l, pool: pool, queue: &namedQueue{Queue: q}}
	if s.sender, err = delivery.New(s.queue, l.config()); err != nil {
		return err
	}
	go func() {
		s.obey(ctx)
		stop()
	}()
	go s.enqueue(ctx)
	return errors.Join(s.sender.Run(ctx), q.Close())
}

// obey does what its standard input says, and returns at the end of that.
func (s *shop) obey(ctx context.Context) {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var m killMail
		fmt.Sscan(lines.Text(), &m.name, &m.domain)
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = s.order(ctx, m, pgx.Tx.Commit)
		}
		if err == nil {
			err = self.Kill()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		select {} // nothing happens between the commit and the end
	}
}

// enqueue has messages stored alone, or with an order, and gives some of the orders up. Other mail goes out meanwhile.
func (s *shop) enqueue(ctx context.Context) {
	for n := range lifeMessages {
		m := killMail{name: fmt.Sprintf("%d-%d", s.Number, n), domain: anyDomain()}
		var err error
		switch n % 8 {
		case 1:
			err = s.order(ctx, m, pgx.Tx.Rollback)
		case 3, 5, 7:
			err = s.order(ctx, m, pgx.Tx.Commit)
		default:
			_, err = s.sender.Enqueue(ctx, m.message())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		} else if n%8 != 1 {
			fmt.Println("queued", m.name, m.domain)
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Println("enqueued")
}

// order stores an order and its mail in one transaction.
func (s *shop) order(ctx context.Context, m killMail, end func(pgx.Tx, context.Context) error) error {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	if _, err := tx.Exec(ctx, "INSERT INTO "+ordersOf(s.Schema)+" VALUES ($1)", m.name); err != nil {
		return err
	}
	e, err := s.sender.Prepare(ctx, m.message())
	if err != nil {
		return err
	}
	if _, err := s.queue.EnqueueTx(ctx, tx, e); err != nil {
		return err
	}
	return end(tx, ctx)
}

// killMail is a message of the kill test, to one recipient.
type killMail struct{ name, domain string }

func (m killMail) message() delivery.Message {
	return delivery.Message{
		From: m.name + "@home.example",
		To:   delivery.To("user@" + m.domain),
		Body: strings.NewReader("Subject: " + m.name + "\r\n\r\nHello!\r\n"),
	}
}

// nameOf returns the name of the message that has a reverse-path.
func nameOf(from string) string {
	name, _, _ := strings.Cut(from, "@")
	return name
}

// anyDomain is a third of the time the one whose site has a cap.
func anyDomain() string {
	if rand.IntN(3) == 0 {
		return cappedDomain
	}
	return otherDomain(rand.IntN(otherDomains))
}

func otherDomain(n int) string { return fmt.Sprintf("d%02d.example", n) }

// ordersOf is the table of orders, which is the host program's own.
func ordersOf(schema string) string { return pgx.Identifier{schema, "orders"}.Sanitize() }
