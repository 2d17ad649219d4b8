package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// rivalry sets a Sender and its queue in PostgreSQL beside River and go-mail.
type rivalry struct {
	RateRatio figure   `json:"rate_ratio"` // of the Sender's delivered_per_s over River's
	CPURatio  figure   `json:"cpu_ratio"`  // per message, without what the database uses
	Sender    *figures `json:"sender"`
	River     *figures `json:"river"`
}

// river takes turns: messages that pass through a Sender, and through River and go-mail, with the same database and sink, the same number
// of callers, each of whom has one message stored durably at a time, and as many workers as there are connections.
func (b *bench) river(ctx context.Context) (any, error) {
	dir, err := os.MkdirTemp(b.dir, "bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "river")
	if err := buildRiver(ctx, program); err != nil {
		return nil, err
	}
	l := b.load()
	routes := b.routes(l)
	var ours, theirs []*figures
	for range b.rounds {
		if err := settlePostgres(ctx, b.queue); err != nil {
			return nil, err
		}
		f, err := b.throughRiver(ctx, program, l)
		if err != nil {
			return nil, fmt.Errorf("river: %w", err)
		}
		theirs = append(theirs, f)
		if err := settlePostgres(ctx, b.queue); err != nil {
			return nil, err
		}
		if f, err = b.trial(ctx, l, routes, whileDelivering); err != nil {
			return nil, err
		}
		ours = append(ours, f)
	}
	r := rivalry{Sender: median(ours, (*figures).delivered), River: median(theirs, (*figures).delivered)}
	r.RateRatio = r.Sender.DeliveredPerS / r.River.DeliveredPerS
	r.CPURatio = r.Sender.CPU / r.River.CPU
	return r, nil
}

// buildRiver builds the program in the folder river, which is a module of its own.
func buildRiver(ctx context.Context, program string) error {
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/postroad/postroad").Output()
	if err != nil {
		return fmt.Errorf("finding examples/bench/river: %w", err)
	}
	folder := filepath.Join(strings.TrimSpace(string(module)), "examples", "bench", "river")
	if out, err := exec.CommandContext(ctx, "go", "-C", folder, "build", "-o", program, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("building examples/bench/river: %w: %s", err, out)
	}
	return nil
}

// throughRiver sends a load through River and go-mail.
func (b *bench) throughRiver(ctx context.Context, program string, l load) (f *figures, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, program,
		"-database", b.queue, "-sink", b.addr.String(), "-messages", strconv.Itoa(l.messages), "-size", strconv.Itoa(l.size),
		"-domains", strconv.Itoa(len(l.domains)), "-callers", strconv.Itoa(l.callers), "-workers", strconv.Itoa(b.total))
	cmd.Stderr = b.warn
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			cancel()
		}
		in.Close()
		err = errors.Join(err, cmd.Wait())
	}()
	out := bufio.NewReader(pipe)
	if _, err := out.ReadString('\n'); err != nil {
		return nil, err
	}
	if err := b.counter.begin(l.messages); err != nil {
		return nil, err
	}
	process := family(cmd.Process.Pid)
	used, began := process.cpuTime(), time.Now()
	if _, err := io.WriteString(in, "begin\n"); err != nil {
		return nil, err
	}
	t, err := readTiming(out, l.messages)
	if err == nil {
		err = waitFor(ctx, b.counter, l.messages)
	}
	if err != nil {
		return nil, err
	}
	r, err := b.counter.receipts()
	if err != nil {
		return nil, err
	}
	f = &figures{
		EnqueuePerS: rate(l.messages, t.ended.Sub(began)),
		CPU:         figure(float64(process.cpuTime()-used) / float64(time.Microsecond) / float64(l.messages)),
		PeakRSS:     figure(procValue(fmt.Sprintf("/proc/%d/status", process), "VmHWM") * 1024 / megabyte),
		Syncs:       unknown, Written: unknown, Allocs: unknown,
	}
	f.arrivals(t, r, began)
	return f, nil
}

// readTiming reads when each message was handed over, and then how long that took, in nanoseconds.
func readTiming(in io.Reader, n int) (*timing, error) {
	called, t := make([]int64, n), &timing{called: make([]time.Time, n), took: make([]time.Duration, n)}
	if err := errors.Join(binary.Read(in, binary.BigEndian, called), binary.Read(in, binary.BigEndian, t.took)); err != nil {
		return nil, err
	}
	for i, ns := range called {
		t.called[i] = time.Unix(0, ns)
		if returned := t.called[i].Add(t.took[i]); returned.After(t.ended) {
			t.ended = returned
		}
	}
	return t, nil
}
