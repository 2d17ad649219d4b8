package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// family is a process, by its number, with all its descendants: a mail server may be many.
type family int

// tick is the unit of processor times in /proc.
const tick = 10 * time.Millisecond

// process is one line of /proc/*/stat.
type process struct {
	pid, parent int
	cpu         time.Duration // with that of children that have ended and were waited for
}

// processes lists all that there are.
func processes() (list []process) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// The second field is a name, which may have anything in it, in parentheses.
		end := bytes.LastIndexByte(b, ')')
		fields := strings.Fields(string(b[end+1:]))
		if len(fields) < 15 {
			continue
		}
		p := process{}
		p.pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(name)))
		p.parent, _ = strconv.Atoi(fields[1])
		for _, f := range fields[11:15] { // utime, stime, cutime, cstime
			n, _ := strconv.Atoi(f)
			p.cpu += time.Duration(n) * tick
		}
		list = append(list, p)
	}
	return list
}

// members lists the processes of f, none if it is 0.
func (f family) members() (list []process) {
	if f == 0 {
		return nil
	}
	children := make(map[int][]process)
	for _, p := range processes() {
		if p.pid == int(f) {
			list = append(list, p)
		}
		children[p.parent] = append(children[p.parent], p)
	}
	for i := 0; i < len(list); i++ {
		list = append(list, children[list[i].pid]...)
	}
	return list
}

// cpuTime is what f has used so far.
func (f family) cpuTime() (sum time.Duration) {
	for _, p := range f.members() {
		sum += p.cpu
	}
	return sum
}

// memory is what f has, in octets: all of it, pages that are shared counted once, and what of it is no file's.
func (f family) memory() (all, anonymous float64) {
	for _, p := range f.members() {
		name := fmt.Sprintf("/proc/%d/smaps_rollup", p.pid)
		if pss := procValue(name, "Pss"); !math.IsNaN(pss) {
			all += pss * 1024
			anonymous += procValue(name, "Pss_Anon") * 1024
		}
	}
	return all, anonymous
}

// peak watches the memory of f until stop is called.
func (f family) peak(ctx context.Context) (stop func() (all, anonymous float64)) {
	return watchPeak(ctx, f.memory)
}

// watchPeak looks at two figures twice a second until stop is called, which returns the highest that there were of each.
func watchPeak(ctx context.Context, look func() (a, b float64)) (stop func() (a, b float64)) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	var highestA, highestB float64
	watching.Go(func() {
		for ctx.Err() == nil {
			a, b := look()
			highestA, highestB = max(highestA, a), max(highestB, b)
			select {
			case <-time.After(500 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	return func() (float64, float64) {
		cancel()
		watching.Wait()
		return highestA, highestB
	}
}
