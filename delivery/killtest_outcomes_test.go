package delivery_test

import (
	"bytes"
	"fmt"
	"iter"
	"os"
	"slices"
	"testing"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
)

// The process that is killed reads outcomes, too, and notes each in a ledger: a line that is synced before it reads on. The last
// whole line is its cursor, and with it what it has done about the outcome is stored: that is the host program's transaction.

// entry is a line of the ledger.
type entry struct {
	mark  queue.Mark
	id    queue.ID
	to    string
	state string
}

func (e entry) String() string { return fmt.Sprintln(uint64(e.mark), e.id, e.to, e.state) }

// readLedger returns what is in the ledger of a queue, and how many octets of it are whole lines.
func readLedger(file string) (entries []entry, whole int64, err error) {
	b, err := os.ReadFile(file + ".outcomes")
	if os.IsNotExist(err) {
		return nil, 0, nil
	}
	for line := range bytes.Lines(b) {
		var e entry
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // what a kill has left of one
		}
		if _, err := fmt.Sscan(string(line), &e.mark, &e.id, &e.to, &e.state); err != nil {
			return nil, 0, err
		}
		whole += int64(len(line))
		entries = append(entries, e)
	}
	return entries, whole, err
}

// keepLedger reads on behind the ledger's last line, until the sequence ends.
func keepLedger(file string, read func(since queue.Mark) iter.Seq2[delivery.Outcome, error]) error {
	entries, whole, err := readLedger(file)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file+".outcomes", os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(whole); err != nil {
		return err
	}
	var since queue.Mark
	if n := len(entries); n > 0 {
		since = entries[n-1].mark
	}
	for o, err := range read(since) {
		if err != nil {
			return err
		}
		line := entry{o.Mark, o.Job.Key.ID, o.Recipient.Address, o.Recipient.State.String()}.String()
		if _, err := f.WriteAt([]byte(line), whole); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		whole += int64(len(line))
	}
	return nil
}

func mustReadLedger(t *testing.T, file string) []entry {
	t.Helper()
	entries, _, err := readLedger(file)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// misread compares the ledger with how the recipients have ended: each is there once, in the order of marks.
func (e *evidence) misread() (broken []string) {
	var want []entry
	for _, j := range e.jobs {
		for _, r := range j.Recipients {
			want = append(want, entry{r.Mark, j.Key.ID, r.Address, r.State.String()})
		}
	}
	slices.SortFunc(want, func(a, b entry) int { return int(a.mark) - int(b.mark) })
	for i := range max(len(want), len(e.ledger)) {
		var is, was string
		if i < len(want) {
			is = want[i].String()
		}
		if i < len(e.ledger) {
			was = e.ledger[i].String()
		}
		if is != was {
			broken = append(broken, fmt.Sprintf("line %d is %q, not %q", i, was, is))
		}
	}
	return broken
}
