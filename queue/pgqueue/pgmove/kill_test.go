package main

import (
	"cmp"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

var (
	killRounds = flag.Int("kill.rounds", 1, "how many queues the test moves in each direction")
	killSeed   = flag.Uint64("kill.seed", 0, "what the test draws its moments from; 0 is a new one")
)

// The command is killed again and again while it moves a queue, at moments drawn by lot, and repeated. Then every message is there,
// once.
func testKill(t *testing.T, url string) {
	seed := cmp.Or(*killSeed, rand.Uint64())
	draw := rand.New(rand.NewPCG(seed, 0))
	kills := 0
	for range *killRounds {
		for _, pair := range [][2]place{{newFile(t), newDatabase(t, url)}, {newDatabase(t, url), newFile(t)}} {
			from, to := pair[0], pair[1]
			want := fill(t, from, 300) // which are stored in several transactions
			limit := 20                // which is soon enough on any machine
			for ; !moveOrDie(t, from, to, time.Duration(draw.IntN(limit))*time.Millisecond); limit += 20 + limit/5 {
				kills++
			}
			if wantMoved(t, from, to, want); t.Failed() {
				t.Fatalf("seed %d: after %d kills", seed, kills)
			}
		}
	}
	if kills == 0 {
		t.Errorf("seed %d: nobody was killed", seed)
	}
	t.Logf("seed %d: %d kills", seed, kills)
}

// moveOrDie runs the command, and kills it after a while. It reports whether the command was done before.
func moveOrDie(t *testing.T, from, to place, after time.Duration) (done bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fromVariable+"="+address(from), toVariable+"="+address(to), schemaVariable+"="+schemaOf(from, to))
	var says strings.Builder
	cmd.Stderr = &says
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	done = err == nil || strings.Contains(says.String(), "has been moved already") // it was killed when all was done
	if !done && cmd.ProcessState.ExitCode() > 0 {
		t.Fatalf("%v\n%s", err, &says)
	}
	return done
}

func address(p place) string {
	if d, ok := p.(*database); ok {
		return d.url
	}
	return p.String()
}

func schemaOf(places ...place) string {
	for _, p := range places {
		if d, ok := p.(*database); ok {
			return d.schema
		}
	}
	return ""
}

// Nobody's queue is taken away while it is used.
func testInUse(t *testing.T, url string) {
	claim := func(t *testing.T, q queue.Queue) {
		r := queue.ClaimRequest{Now: time.Now(), Lease: time.Hour, Limit: 1}
		if c, err := q.Claim(t.Context(), r); err != nil || len(c.Jobs) != 1 {
			t.Fatal(c, err)
		}
	}
	beat := func(t *testing.T, q queue.Queue) {
		if _, err := q.(queue.Shared).Beat(t.Context(), "sender", time.Hour, nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		place
		use func(*testing.T, queue.Queue)
	}{
		"locked": {newFile(t), func(*testing.T, queue.Queue) {}},
		"leased": {newDatabase(t, url), claim},
		"alive":  {newDatabase(t, url), beat},
	} {
		t.Run(name, func(t *testing.T) {
			want := fill(t, test.place, 3)
			q := opens(t, test.place, "")
			defer q.Close()
			test.use(t, q)
			to := newFile(t)
			if _, err := run(t.Context(), test.place, to, io.Discard); !errors.Is(err, errInUse) {
				t.Errorf("moving what is in use: %v", err)
			}
			if there, err := test.exists(t.Context(), ""); err != nil || !there {
				t.Errorf("it has gone, error %v", err)
			}
			if there, err := to.exists(t.Context(), ""); err != nil || there {
				t.Errorf("there is another one, error %v", err)
			}
			if got := describe(t, q); name == "locked" && got != want {
				t.Errorf("it has changed:\n%s", got)
			}
		})
	}
}
