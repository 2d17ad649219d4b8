package boltqueue

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

var (
	killRounds = flag.Int("kill.rounds", 25, "how often TestKill kills")
	killSeed   = flag.Uint64("kill.seed", 0, "what TestKill draws its moments from; 0 is a new one")
)

// killFile is how many rounds share a file.
const killFile = 25

// A process works on a queue at full speed, and is killed again and again, at moments drawn by lot. Whatever it acknowledged before
// is there.
func TestKill(t *testing.T) {
	seed := cmp.Or(*killSeed, rand.Uint64())
	draw := rand.New(rand.NewPCG(seed, 0))
	var path string
	var w *witness
	said := 0
	for n := range *killRounds {
		if n%killFile == 0 {
			path, w = newPath(t), newWitness()
		}
		cmd, _, out := child(t, "sender", path, fmt.Sprintf("%s=%d", firstMessage, n*10_000))
		kill := func() { cmd.Process.Kill() }
		moment := time.Duration(draw.IntN(150)) * time.Millisecond
		early := draw.IntN(5) == 0 // while it opens the file
		if early {
			time.AfterFunc(moment, kill)
		}
		for first := true; out.Scan(); first = false { // what it says until it is dead counts, too
			if first && !early {
				time.AfterFunc(moment, kill)
			}
			w.hear(out.Text())
			said++
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() >= 0 {
			t.Fatalf("seed %d: the other process ended by itself", seed)
		}
		if w.check(t, path); t.Failed() {
			t.Fatalf("seed %d: after %d kills", seed, n+1)
		}
	}
	t.Logf("seed %d: %d kills, %d acknowledgements", seed, *killRounds, said)
}

// numbered is message n of these tests: every seventh has a body that is written ahead, every third two jobs.
func numbered(n int) *queue.Entry {
	domains := []string{"example.com", "example.net"}[:1+n%3/2]
	return message(queue.ID(fmt.Sprintf("m%06d", n)), numberedBody(n), domains...)
}

func numberedBody(n int) io.Reader {
	size := 100 + n%5*3000
	if n%7 == 0 {
		size += 2 * segmentSize
	}
	return random(n, size)
}

// sender enqueues and delivers messages until it is killed, and says what has been done.
type sender struct {
	q      *Queue
	failed chan error
	mu     sync.Mutex // guards n and the output
	n      int
}

func send(path, first string) error {
	q, err := Open(path, Options{})
	if err != nil {
		return err
	}
	s := &sender{q: q, failed: make(chan error)}
	if _, err := fmt.Sscan(first, &s.n); err != nil {
		return err
	}
	for range 6 {
		go s.forever(s.enqueue)
	}
	go s.forever(s.enqueueAll)
	for range 3 {
		go s.forever(s.claim)
	}
	return <-s.failed
}

func (s *sender) forever(work func(context.Context) error) {
	for {
		if err := work(context.Background()); err != nil {
			s.failed <- err
		}
	}
}

func (s *sender) say(words ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Println(words...)
}

func (s *sender) next() *queue.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	return numbered(s.n)
}

func (s *sender) enqueue(ctx context.Context) error {
	e := s.next()
	_, err := s.q.Enqueue(ctx, e)
	if err == nil {
		s.say("queued", e.Message.ID)
	}
	return err
}

func (s *sender) enqueueAll(ctx context.Context) error {
	var es []*queue.Entry
	for range 10 {
		es = append(es, s.next())
	}
	n, err := s.q.EnqueueAll(ctx, slices.Values(es))
	for _, e := range es[:n] {
		s.say("queued", e.Message.ID)
	}
	return err
}

// claim delivers, retries or bounces some jobs.
func (s *sender) claim(ctx context.Context) error {
	c, err := s.q.Claim(ctx, queue.ClaimRequest{Now: start, Lease: time.Hour, Limit: 4})
	for i, j := range c.Jobs {
		var more []*queue.Entry
		word := "finished"
		switch i {
		case 0:
			word, j.Tries, j.Due = "tried", j.Tries+1, start.Add(-time.Duration(j.Tries)*time.Second)
		case 1:
			j.Recipients[0].State, j.Finished = queue.Delivered, start
			if !strings.HasPrefix(string(j.Key.ID), "b") {
				word, j.Recipients[0].State = "bounced", queue.Bounced
				more = append(more, message(bounceID(j.Key), random(j.Key.N, 400), "example.org"))
			}
		default:
			j.Recipients[0].State, j.Finished = queue.Delivered, start
		}
		if err := s.q.Commit(ctx, j, more...); err != nil {
			return err
		}
		s.say(word, j.Key.ID, j.Key.N, j.Tries)
	}
	return err
}

func bounceID(k queue.Key) queue.ID { return queue.ID(fmt.Sprintf("b%s-%d", k.ID, k.N)) }

// witness knows what was acknowledged.
type witness struct {
	queued   map[queue.ID]bool
	finished map[queue.Key]bool
	tries    map[queue.Key]int
}

func newWitness() *witness {
	return &witness{map[queue.ID]bool{}, map[queue.Key]bool{}, map[queue.Key]int{}}
}

func (w *witness) hear(line string) {
	var word string
	var k queue.Key
	var tries int
	n, _ := fmt.Sscan(line, &word, &k.ID, &k.N, &tries)
	switch {
	case n == 2 && word == "queued":
		w.queued[k.ID] = true
	case n == 4 && word == "tried":
		w.tries[k] = max(w.tries[k], tries)
	case n == 4:
		w.finished[k] = true
		if word == "bounced" {
			w.queued[bounceID(k)] = true
		}
	}
}

// check compares a file with what was acknowledged.
func (w *witness) check(t *testing.T, path string) {
	t.Helper()
	q, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	stored := map[queue.Key]*queue.Job{}
	for j, err := range q.Jobs(context.Background(), queue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		stored[j.Key] = j
	}
	for id := range w.queued {
		if stored[queue.Key{ID: id}] == nil {
			t.Errorf("%q was acknowledged and is lost", id)
		}
	}
	for k := range w.finished {
		if j := stored[k]; j == nil || j.Finished.IsZero() {
			t.Errorf("%q came back after it was finished", k)
		}
	}
	for k, tries := range w.tries {
		if j := stored[k]; j == nil || j.Tries < tries {
			t.Errorf("%q was tried %d times, which was forgotten", k, tries)
		}
	}
	for k, j := range stored {
		checkStored(t, j, stored)
		if k.N == 0 && j.Finished.IsZero() {
			checkBody(t, q, k.ID, bodyOfNumber(t, j))
		}
	}
	checkIndexes(t, q)
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}

// checkStored checks that a message is there with all its jobs, and a bounce with what it is about.
func checkStored(t *testing.T, j *queue.Job, stored map[queue.Key]*queue.Job) {
	t.Helper()
	k := j.Key
	bounce := stored[queue.Key{ID: bounceID(k)}]
	if (j.Recipients[0].State == queue.Bounced) != (bounce != nil) {
		t.Errorf("%q is %v, but that there is a bounce is %v", k, j.Recipients[0].State, bounce != nil)
	}
	if about, n, ok := cutBounce(k.ID); ok {
		if of := stored[queue.Key{ID: about, N: n}]; of == nil || of.Recipients[0].State != queue.Bounced {
			t.Errorf("%q is about a job that has not bounced", k.ID)
		}
		return
	}
	var number int
	if _, err := fmt.Sscanf(string(k.ID), "m%d", &number); err != nil {
		t.Fatal(err)
	}
	for i := range numbered(number).Jobs {
		if stored[queue.Key{ID: k.ID, N: i}] == nil {
			t.Errorf("%q is there without its job %d", k.ID, i)
		}
	}
}

func cutBounce(id queue.ID) (about queue.ID, n int, ok bool) {
	text, ok := strings.CutPrefix(string(id), "b")
	if !ok {
		return "", 0, false
	}
	before, after, _ := strings.Cut(text, "-")
	_, err := fmt.Sscan(after, &n)
	return queue.ID(before), n, err == nil
}

func bodyOfNumber(t *testing.T, j *queue.Job) io.Reader {
	t.Helper()
	if _, n, ok := cutBounce(j.Key.ID); ok {
		return random(n, 400)
	}
	var n int
	if _, err := fmt.Sscanf(string(j.Key.ID), "m%d", &n); err != nil {
		t.Fatal(err)
	}
	return numberedBody(n)
}
