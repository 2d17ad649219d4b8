package boltqueue

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

var depth = flag.Int("depth.jobs", 20_000, "unfinished `jobs` in the queues of BenchmarkDepth; there are a hundredth as many lanes")

// BenchmarkDepth builds queues of many unfinished jobs with bodies of 1 KiB, of which one in a hundred is due, and looks at each
// from new processes. In "skewed" half of all jobs are in one lane; "tenth" has as many lanes as the others and a
// tenth of the jobs. The figures are
//
//	build-s                how long it takes to fill the queue
//	open-s, killed-open-s  how long Open takes after Close, and after a kill, with the file in the system's cache; *-cpu-s is the
//	                       part of it that isn't waiting
//	anon-MiB               memory that is no file's after Open
//	idle-cpu-ms, idle-B    what an idle queue uses and writes in two seconds
//	claim-*-µs             what a Claim of one job takes: from any lane, from one lane, from a Take of all lanes, and from any
//	                       lane while 64 callers enqueue
//	depths-p50-µs          how long it takes to learn the depths of all lanes
//	of-empty               the rate of Enqueue of 10 KiB by 64 callers over that of an empty queue, in turns, for the same lanes;
//	                       small-of-empty of 1 KiB
//	list-KiB, list-µs/job  by how much the heap grows at most while all jobs are listed, and how long that takes
func BenchmarkDepth(b *testing.B) {
	lanes := max(10, *depth/100)
	for _, d := range []struct {
		name string
		jobs int
		lane func() int
	}{
		{"even", *depth, func() int { return rand.IntN(lanes) }},
		{"skewed", *depth, func() int { return max(0, rand.IntN(2*lanes)-lanes) }},
		{"tenth", *depth / 10, func() int { return rand.IntN(lanes) }},
	} {
		b.Run(d.name, func(b *testing.B) {
			if _, err := anonymous(); err != nil {
				b.Skip(err)
			}
			for b.Loop() {
				path := newPath(b)
				begin := time.Now()
				if err := fill(path, d.jobs, d.lane); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(time.Since(begin).Seconds(), "build-s")
				report(b, "opener", path, "open-s", "open-cpu-s")
				report(b, "opener", path, "killed-open-s", "killed-open-cpu-s") // the one before has not closed it
				report(b, "depth", path)
				if err := os.RemoveAll(filepath.Dir(path)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// fill makes a queue.
func fill(path string, jobs int, lane func() int) error {
	q, err := Open(path, Options{})
	if err != nil {
		return err
	}
	_, err = q.EnqueueAll(context.Background(), func(yield func(*queue.Entry) bool) {
		for n := range jobs {
			e := benchEntry(n, 1<<10)
			e.Message.Expires = start.Add(5 * 24 * time.Hour).Add(time.Duration(n) * time.Millisecond)
			j := e.Jobs[0]
			j.Domain = fmt.Sprintf("domain%05d.example", lane())
			j.Recipients[0].Address = "someone@" + j.Domain
			if n%100 != 0 {
				j.Due = start.Add(time.Hour + rand.N(4*time.Hour))
			}
			if !yield(e) {
				return
			}
		}
	})
	return errors.Join(err, q.Close())
}

// report runs a process in a role and reports what it prints: values of these names, or lines of a name and a value.
func report(b *testing.B, role, path string, names ...string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role, pathVariable+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	words := strings.Fields(string(out))
	for i := 0; len(words) > 0; i++ {
		if i == len(names) {
			names, words = append(names, words[0]), words[1:]
		}
		value, err := strconv.ParseFloat(words[0], 64)
		if err != nil {
			b.Fatalf("%q: %v", out, err)
		}
		b.ReportMetric(value, names[i])
		words = words[1:]
	}
}
