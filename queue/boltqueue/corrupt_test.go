package boltqueue

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

var (
	corruptFiles = flag.Int("damage.files", 40, "how many damaged files TestDamage makes")
	corruptSeed  = flag.Uint64("damage.seed", 1, "what TestDamage draws the damage from")
)

const (
	damagePatience = 30 * time.Second // for all that is done with one file
	damageMemory   = 400 << 20        // octets that the system may have given to a process that reads damaged files
)

// No damage ends the process, makes it hang or take much memory, in whatever is done with the file; every error says that the file
// is damaged, and which it is; and a file that was opened can be opened again after it was changed.
func TestDamage(t *testing.T) {
	dir := memoryDir(t)
	for name, b := range richSamples(t) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	outcomes := map[string]int{}
	for from := 0; from < *corruptFiles; { // a process goes on until it dies of a file; the next one begins behind that
		cmd, in, out := child(t, "victim", dir, fmt.Sprintf("%s=%d %d %d", firstMessage, from, *corruptFiles, *corruptSeed))
		last, verdict := from, ""
		for out.Scan() {
			number, said, _ := strings.Cut(out.Text(), " ")
			if _, err := fmt.Sscan(number, &last); err != nil {
				t.Fatalf("the other process said %q", out.Text())
			}
			if verdict = said; strings.HasPrefix(said, "wrong") {
				t.Errorf("file %d: %s", last, said)
			}
			kind, _, _ := strings.Cut(said, ":")
			outcomes[kind]++
		}
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("file %d: after %q the process ended: %v", last, verdict, err)
		}
		from = last + 1
	}
	delete(outcomes, "begun")
	t.Logf("%d files, seed %d: %v", *corruptFiles, *corruptSeed, outcomes)
}

// memoryDir is a folder in memory, where there is one: nothing of a test there depends on what a sync does.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "boltqueue")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// readDamaged damages files and uses them, and says how that went.
func readDamaged(dir, task string) error {
	var from, to int
	var seed uint64
	if _, err := fmt.Sscan(task, &from, &to, &seed); err != nil {
		return err
	}
	samples, err := filepath.Glob(filepath.Join(dir, "*.sample"))
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "mail.db")
	for n := from; n < to; n++ {
		draw := rand.New(rand.NewPCG(seed, uint64(n)))
		b, err := os.ReadFile(samples[n%len(samples)])
		if err != nil {
			return err
		}
		old, err := os.ReadFile(filepath.Join(dir, "older"))
		if err != nil {
			return err
		}
		uses, err := pagesInUse(samples[n%len(samples)])
		if err != nil {
			return err
		}
		b, what := corrupt(draw, b, old, uses)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
		fmt.Printf("%d begun: %s\n", n, what)
		stuck := time.AfterFunc(damagePatience, func() { panic(fmt.Sprintf("file %d: it hangs", n)) })
		fmt.Printf("%d %s (%s)\n", n, strings.ReplaceAll(exercise(path), "\n", " "), what)
		stuck.Stop()
		var m runtime.MemStats
		if runtime.ReadMemStats(&m); m.Sys > damageMemory {
			return fmt.Errorf("file %d: the process has %d MiB", n, m.Sys>>20)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// exercise opens a file and does all that can be done, and says what was wrong with that.
func exercise(path string) string {
	q, err := Open(path, Options{Retention: time.Minute})
	if err != nil {
		pathErr := (*fs.PathError)(nil)
		if !errors.Is(err, queue.ErrDamaged) || !errors.As(err, &pathErr) || pathErr.Path != path {
			return fmt.Sprintf("wrong: Open: %v", err)
		}
		return "refused"
	}
	outcome := "unnoticed"
	for _, err := range useAll(q) {
		if !errors.Is(err, queue.ErrDamaged) || !strings.Contains(err.Error(), path) {
			return fmt.Sprintf("wrong: %v", err)
		}
		outcome = "noticed"
	}
	if err := q.Close(); err != nil && !errors.Is(err, queue.ErrDamaged) {
		return fmt.Sprintf("wrong: Close: %v", err)
	}
	if q, err = Open(path, Options{}); err == nil {
		err = q.Close()
	}
	if err != nil {
		return fmt.Sprintf("wrong: Open after use: %v", err)
	}
	return outcome
}

// useAll calls every method and goes on after errors, which it returns.
func useAll(q *Queue) (errs []error) {
	ctx := context.Background()
	note := func(err error) {
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	var ids []queue.ID
	for _, f := range []queue.Filter{{}, {Ended: true}, {Heads: true}} {
		for j, err := range q.Jobs(ctx, f) {
			if note(err); err == nil && j.Finished.IsZero() {
				ids = append(ids, j.Key.ID)
			}
		}
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		r, err := q.Open(ctx, id)
		if note(err); err == nil {
			_, err = io.Copy(io.Discard, r)
			note(err)
		}
	}
	for i := range 4 {
		_, err := q.Enqueue(ctx, message(queue.ID(fmt.Sprintf("m%d", i*30)), random(i, 100), "a.example")) // some are known
		if !errors.Is(err, queue.ErrConflict) {
			note(err)
		}
		e := message(queue.ID(fmt.Sprintf("new%d", i)), random(i, (segmentSize+10)*(i%2)), "a.example", fmt.Sprintf("d%d.example", i))
		e.Message.Enqueued = start.Add(time.Duration(i) * time.Hour) // so that some are purged
		_, err = q.Enqueue(ctx, e)
		note(err)
	}
	note(q.Set(ctx, "note7", []byte("another value")))
	for key, err := range q.Keys(ctx, "") {
		if note(err); err == nil {
			_, err = q.Get(ctx, key)
			note(err)
		}
	}
	keys := []queue.Key{{ID: "m3"}, {ID: "m33"}, {ID: "large"}}
	for _, r := range []queue.ClaimRequest{{Keys: keys}, {Take: []queue.Take{{Lane: queue.Lane{Domain: "d1.example"}, N: 3}}}, {}, {Expired: true}} {
		r.Now, r.Lease, r.Limit = start.Add(24*time.Hour), time.Hour, 1000
		c, err := q.Claim(ctx, r)
		note(err)
		errs = append(errs, commitSome(q, c.Jobs)...)
	}
	return errs
}

// commitSome finishes, retries and bounces jobs.
func commitSome(q *Queue, jobs []*queue.Job) (errs []error) {
	ctx := context.Background()
	for i, j := range jobs {
		var err error
		switch i % 8 {
		case 0, 1, 2, 3:
			j.Recipients[0].State, j.Finished = queue.Delivered, start
			err = q.Commit(ctx, j)
		case 4:
			j.Due = j.Due.Add(time.Hour)
			err = q.Commit(ctx, j)
		case 5:
			j.Recipients[0].State, j.Finished = queue.Bounced, start
			err = q.Commit(ctx, j, message("b-"+j.Key.ID, random(i, 500), "example.org"))
		}
		if err != nil {
			errs = append(errs, err)
		}
		if i > 60 {
			break
		}
	}
	return errs
}

// richSamples are files in which every bucket branches and has what there can be, one that was closed and one that was not, and
// an older state of these.
func richSamples(t *testing.T) map[string][]byte {
	t.Helper()
	ctx := context.Background()
	q := mustOpen(t, filepath.Join(memoryDir(t), "mail.db"), Options{})
	read := func() []byte {
		b, err := os.ReadFile(q.path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for i := range 150 {
		mustEnqueue(t, q, message(queue.ID(fmt.Sprintf("m%d", i)), random(i, 20*i), fmt.Sprintf("d%d.example", i%20), "b.example"))
	}
	mustEnqueue(t, q, message("large", random(1, 2*segmentSize), "a.example"))
	samples := map[string][]byte{"older": read()}
	for i, j := range claimAll(t, q, start)[:210] {
		if i%7 == 0 {
			j.Due = j.Due.Add(time.Minute)
			if err := q.Commit(ctx, j); err != nil {
				t.Fatal(err)
			}
			continue
		}
		finish(t, q, j, start)
	}
	for i := range 100 {
		if err := q.Set(ctx, fmt.Sprintf("note%d", i), bytes.Repeat([]byte("v"), 100)); err != nil {
			t.Fatal(err)
		}
	}
	samples["closed.sample"] = nil
	body := io.MultiReader(random(1, 2*segmentSize), readFunc(func([]byte) (int, error) {
		samples["crashed.sample"] = read()
		return 0, io.EOF
	}))
	mustEnqueue(t, q, message("larger", body, "a.example", "b.example"))
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	samples["closed.sample"] = read()
	return samples
}

// corrupt damages a file, in one of many ways, and says how.
func corrupt(draw *rand.Rand, b, old []byte, uses func(uint64) bool) (damaged []byte, what string) {
	b = bytes.Clone(b)
	size := os.Getpagesize()
	pages := len(b) / size
	used := b[2*size:] // without the metas
	page := func() []byte {
		for {
			if id := 2 + draw.IntN(pages-2); uses(uint64(id)) {
				return b[id*size:][:size]
			}
		}
	}
	branch := func() []byte {
		for {
			if p := page(); native.Uint16(p[8:]) == branchFlag && int(native.Uint16(p[10:])) < size/elementSize {
				return p
			}
		}
	}
	flip := func(b []byte) { b[draw.IntN(len(b))] ^= 1 << draw.IntN(8) }
	kinds := []struct {
		name   string
		damage func()
	}{
		{"a flipped bit", func() { flip(page()) }},
		{"some flipped bits", func() {
			for range 2 + draw.IntN(20) {
				flip(page())
			}
		}},
		{"a header changed", func() { flip(page()[:pageHeader]) }},
		{"elements changed", func() { flip(page()[:pageHeader+8*elementSize]) }},
		{"an octet set", func() { page()[draw.IntN(size)] = byte(draw.Uint32()) }},
		{"a meta changed", func() { flip(b[draw.IntN(2)*size:][:pageHeader+metaSize]) }},
		{"a page zeroed", func() { clear(page()) }},
		{"a sector zeroed", func() { clear(page()[512*draw.IntN(size/512):][:512]) }},
		{"noise in a page", func() {
			for i, p := 0, page(); i < size; i++ {
				p[i] = byte(draw.Uint32())
			}
		}},
		{"pages swapped", func() {
			x, y := page(), page()
			c := bytes.Clone(x)
			copy(x, y)
			copy(y, c)
		}},
		{"a page copied with its number changed", func() {
			x, y := page(), page()
			id := native.Uint64(x)
			copy(x, y)
			native.PutUint64(x, id)
		}},
		{"a stale page", func() {
			at := size * (2 + draw.IntN(len(old)/size-2))
			if at+size <= len(b) {
				copy(b[at:at+size], old[at:])
			}
		}},
		{"a branch that leads elsewhere", func() {
			p := branch()
			e := pageHeader + elementSize*draw.IntN(int(native.Uint16(p[10:])))
			native.PutUint64(p[e+8:], uint64(draw.IntN(pages+10)))
		}},
		{"a branch that leads to itself", func() {
			p := branch()
			e := pageHeader + elementSize*draw.IntN(int(native.Uint16(p[10:])))
			native.PutUint64(p[e+8:], native.Uint64(p))
		}},
		{"a leaf that branches", func() {
			p := page()
			native.PutUint16(p[8:], branchFlag)
			for i := range int(min(native.Uint16(p[10:]), 100)) {
				native.PutUint64(p[pageHeader+i*elementSize+8:], native.Uint64(p))
			}
		}},
		{"a size that is huge", func() {
			p := page()
			e := pageHeader + elementSize*draw.IntN(1+int(min(native.Uint16(p[10:]), 100)))
			native.PutUint32(p[e+4*draw.IntN(4):], 1<<(16+draw.IntN(16))-1)
		}},
		{"a cut tail", func() { b = b[:draw.IntN(len(b))] }},
		{"a zeroed tail", func() { clear(used[draw.IntN(len(used)):]) }},
	}
	k := kinds[draw.IntN(len(kinds))]
	k.damage()
	return b, k.name
}

// pagesInUse returns a func that tells which pages of a file are in use.
func pagesInUse(path string) (func(id uint64) bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := readNewestMeta(f)
	if err != nil {
		return nil, err
	}
	w := newWalker(f, m)
	err = w.walkAll()
	return func(id uint64) bool { return id < m.highWater && w.uses(id) }, err
}
