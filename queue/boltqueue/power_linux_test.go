package boltqueue

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

var (
	powerImages = flag.Int("power.images", 80, "how many files, as a power loss could leave them, TestPowerLoss opens; 0 is all that it thinks of")
	powerSeed   = flag.Uint64("power.seed", 0, "what TestPowerLoss draws them from; 0 is a new one")
)

// tracer returns the command that runs this program in a role under strace, which CI has to have.
func tracer(t *testing.T, role, path string, args ...string) *exec.Cmd {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err == nil {
		err = exec.Command(strace, "-o", os.DevNull, "true").Run()
	}
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("strace: %v", err)
	}
	if err != nil {
		t.Skipf("strace: %v", err)
	}
	cmd := exec.Command(strace, append(append([]string{"-f", "--seccomp-bpf"}, args...), os.Args[0])...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, pathVariable+"="+path, noPause)
	cmd.Stderr = os.Stderr
	return cmd
}

// work does a little of everything and closes the queue.
func work(path, first string) error {
	q, err := Open(path, Options{})
	if err != nil {
		return err
	}
	s := &sender{q: q}
	if _, err := fmt.Sscan(first, &s.n); err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, 5)
	for i, job := range []func(context.Context) error{s.enqueue, s.enqueue, s.enqueueAll, s.claim, s.claim} {
		wg.Go(func() {
			for range 1 + 4*(1-i/2%2) {
				errs[i] = cmp.Or(errs[i], job(context.Background()))
			}
		})
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), s.claim(context.Background()), q.Set(context.Background(), "note", []byte("x")), q.Close())
}

// event is a system call: a write to the file, a change of its size, a sync, or an acknowledgement.
type event struct {
	call   string
	data   []byte
	offset int64
}

// Whatever part of the unsynced writes a power loss takes, everything acknowledged before is there, and nothing is there by half.
// That goes for the first use of a file, and for the one after a crash.
func TestPowerLoss(t *testing.T) {
	seed := cmp.Or(*powerSeed, rand.Uint64())
	draw := rand.New(rand.NewPCG(seed, 0))
	w := newWitness()
	first := record(t, nil, 0)
	disk := &disk{}
	images := disk.lose(t, draw, w, first)
	images += crashed(t, draw, first)
	t.Logf("seed %d: %d images", seed, images)
}

// crashed loses power in the life after one that was cut off.
func crashed(t *testing.T, draw *rand.Rand, first []event) (images int) {
	w, d := newWitness(), &disk{}
	half := len(first)/2 + draw.IntN(len(first)/4)
	for _, e := range first[:half] {
		d.apply(e, w)
	}
	base := d.image(len(d.pending))
	d = &disk{synced: base}
	return d.lose(t, draw, w, record(t, base, 1000))
}

// record runs the work on a file with these contents and returns what it did to it.
func record(t *testing.T, base []byte, first int) (events []event) {
	t.Helper()
	dir := memoryDir(t)
	path, trace := filepath.Join(dir, "mail.db"), filepath.Join(dir, "trace")
	if err := os.WriteFile(path, base, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := tracer(t, "worker", path, "-y", "-xx", "-s", "9999999", "-o", trace, "-e", "trace=write,pwrite64,ftruncate,fsync,fdatasync", "-e", "signal=none")
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", firstMessage, first))
	cmd.Stdout = nil
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	unfinished := map[string]string{}
	for line := range strings.Lines(string(text)) {
		pid, call, _ := strings.Cut(strings.TrimSpace(line), " ")
		call = strings.TrimSpace(call)
		if before, ok := strings.CutSuffix(call, "<unfinished ...>"); ok {
			unfinished[pid] = strings.TrimSpace(before)
			if strings.HasPrefix(call, "write(1<") { // heard at once; what is synced counts when that has returned
				events = append(events, parseCall(t, path, call)...)
				unfinished[pid] = ""
			}
			continue
		}
		if _, after, ok := strings.Cut(call, " resumed>"); ok && strings.HasPrefix(call, "<...") {
			if call = unfinished[pid]; call == "" {
				continue
			}
			call += after
		}
		events = append(events, parseCall(t, path, call)...)
	}
	if len(events) < 30 {
		t.Fatalf("only %d events were recorded", len(events))
	}
	return events
}

// parseCall returns the event that a line of the trace is, if it is one.
func parseCall(t *testing.T, path, line string) []event {
	t.Helper()
	call, args, _ := strings.Cut(line, "(")
	ours := strings.Contains(args, "<"+path+">") || strings.Contains(args, "<"+hexed(path)+">")
	switch {
	case call == "write" && strings.HasPrefix(args, "1<"):
		return []event{{call: "say", data: unhex(t, args)}}
	case !ours:
		return nil
	case strings.Contains(line, ") = -1"):
		t.Fatalf("a call failed: %.100s", line)
	case call == "pwrite64":
		fields := strings.Split(args, ", ")
		offset, err := strconv.ParseInt(strings.TrimSuffix(strings.Fields(fields[len(fields)-1])[0], ")"), 10, 64)
		if err != nil {
			t.Fatalf("%v in %.100s", err, line)
		}
		return []event{{call, unhex(t, args), offset}}
	case call == "ftruncate":
		_, size, _ := strings.Cut(args, ", ")
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.Fields(size)[0], ")"), 10, 64)
		if err != nil {
			t.Fatalf("%v in %.100s", err, line)
		}
		return []event{{call: call, offset: n}}
	case call == "fsync", call == "fdatasync":
		return []event{{call: "sync"}}
	}
	t.Fatalf("what is this: %.100s", line)
	return nil
}

func hexed(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, `\x%02x`, s[i])
	}
	return b.String()
}

// unhex returns the octets of a string in a trace.
func unhex(t *testing.T, args string) []byte {
	t.Helper()
	_, text, _ := strings.Cut(args, `"`)
	text, _, _ = strings.Cut(text, `"`)
	b, err := hex.DecodeString(strings.ReplaceAll(text, `\x`, ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// disk is a file as it is on a disk for certain, and what was written to it since the last sync.
type disk struct {
	synced  []byte
	pending []event
}

func (d *disk) apply(e event, w *witness) {
	switch e.call {
	case "say":
		w.hear(string(e.data))
	case "sync":
		d.synced = d.image(len(d.pending))
		d.pending = nil
	default:
		d.pending = append(d.pending, e)
	}
}

// image is the file with the first n pending writes.
func (d *disk) image(n int) []byte {
	b := bytes.Clone(d.synced)
	for _, e := range d.pending[:n] {
		b = e.write(b)
	}
	return b
}

func (e event) write(b []byte) []byte {
	end := e.offset + int64(len(e.data))
	if e.call == "ftruncate" && end < int64(len(b)) {
		return b[:end]
	}
	if end > int64(len(b)) {
		b = append(b, make([]byte, end-int64(len(b)))...)
	}
	copy(b[e.offset:], e.data)
	return b
}

// lose goes through the events and loses power behind each, in several ways.
func (d *disk) lose(t *testing.T, draw *rand.Rand, w *witness, events []event) (images int) {
	t.Helper()
	dir := memoryDir(t)
	const ways = 8 // of images
	chance := float64(*powerImages) / 2 / float64(ways*len(events))
	for i, e := range events {
		d.apply(e, w)
		for _, b := range d.images(draw) {
			if *powerImages > 0 && draw.Float64() > chance {
				continue
			}
			images++
			path := filepath.Join(dir, "mail.db")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if w.check(t, path); t.Failed() {
				t.Fatalf("after event %d of %d (%s)", i, len(events), e.call)
			}
		}
	}
	return images
}

// images are what may be left: all that was written or nothing of it, all but one write, one alone, some, and all with the last
// one torn.
func (d *disk) images(draw *rand.Rand) (images [][]byte) {
	n := len(d.pending)
	images = append(images, d.image(n), d.synced)
	if n == 0 {
		return images[:1]
	}
	some := func(keep func(i int) bool) {
		b := bytes.Clone(d.synced)
		for i, e := range d.pending {
			if keep(i) {
				b = e.write(b)
			}
		}
		images = append(images, b)
	}
	one := draw.IntN(n)
	some(func(i int) bool { return i != one })
	some(func(i int) bool { return i == one })
	some(func(i int) bool { return draw.IntN(2) == 0 })
	some(func(i int) bool { return draw.IntN(4) > 0 })
	for _, sector := range []int{512, 4096} {
		torn := d.pending[n-1]
		torn.data = torn.data[:draw.IntN(len(torn.data)/sector+1)*sector]
		images = append(images, torn.write(d.image(n-1)))
	}
	return images
}
