package delivery_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/dsn"
	"github.com/postroad/postroad/queue"
)

var (
	killRounds = flag.Int("kill.rounds", 12, "how often TestKill kills")
	killSeed   = flag.Uint64("kill.seed", 0, "what TestKill draws its moments and dropped connections from; 0 is a new one")
)

const (
	lifeMessages = 20              // that each life enqueues
	lifePatience = 2 * time.Minute // what takes longer is stuck
)

// A process that enqueues and delivers is killed again and again, at moments drawn by lot, and started anew on the same file.
// The servers stay, and drop connections of their own. After the last life has come to an empty queue, these are the
// claims.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	seed := cmp.Or(*killSeed, rand.Uint64())
	w := newKillWorld(t, seed)
	file := filepath.Join(t.TempDir(), "queue")
	for n := 1; n <= *killRounds; n++ {
		w.live(t, life{Number: n, File: file, Messages: lifeMessages, Hosts: w.hosts}, true)
	}
	w.live(t, life{Number: *killRounds + 1, File: file, Messages: lifeMessages, Hosts: w.hosts}, false)
	w.close() // what was sent to a server before a kill may be read only now
	e := &evidence{killWorld: w, jobs: readJobs(t, file), ledger: mustReadLedger(t, file)}
	for _, c := range []struct {
		claim  string
		broken func() []string
	}{
		{"an acknowledged message is never lost", e.lost},
		{"a message is stored whole or not at all", e.partial},
		{"nothing arrives that was not stored", e.unknown},
		{"every copy has the octets that were sent, and every report speaks of its reader's message", e.altered},
		{"every good recipient gets the message", e.undelivered},
		{"a second copy follows a dropped connection, or a kill before the first one was said to be stored", e.duplicates},
		{"a kill unsettles no more deliveries than were under way", e.unsettled},
		{"every refused recipient is reported in one report", e.unreported(dsn.Failed)},
		{"every recipient who is late is reported in one report, if that is asked for", e.unreported(dsn.Delayed)},
		{"every recipient whose server doesn't report success is reported in one report, if that is asked for", e.unreported(dsn.Relayed)},
		{"what an attempt has to tell of is one report", e.scattered},
		{"nobody is both delivered to and reported", e.both},
		{"every end is read once, in the order of marks, by whoever goes on from its last mark", e.misread},
		{"in the end the queue has nothing left to do, and knows what became of everybody", e.unfinished},
	} {
		if broken := c.broken(); len(broken) > 0 {
			t.Errorf("not true: %s\n\t%s", c.claim, strings.Join(broken[:min(len(broken), 10)], "\n\t"))
		}
	}
	t.Logf("seed %d: %s", seed, e)
}

// live runs the process for a life, and kills it, or lets it come to an empty queue and end.
func (w *killWorld) live(t *testing.T, l life, kill bool) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), lifeVariable+"="+string(text))
	cmd.Stderr = &complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() { cmd.Process.Kill() } // harmless where it has ended
	stuck := time.AfterFunc(lifePatience, func() {
		t.Errorf("life %d comes to no end", l.Number)
		end()
	})
	defer stuck.Stop()
	if kill {
		w.arm(end)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); { // what it says until it is dead counts, too
		var word, id, address string
		fmt.Sscan(lines.Text(), &word, &id, &address)
		switch {
		case word != "empty":
			w.said(l.Number, word, queue.ID(id), address)
		case kill:
			end()
		default:
			in.Close()
		}
	}
	err = cmd.Wait()
	if complaints.Len() > 0 || kill == (err == nil) {
		t.Fatalf("life %d: %v\n%s", l.Number, err, complaints.Bytes())
	}
}
