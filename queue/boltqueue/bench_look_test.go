package boltqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/queue"
)

// What BenchmarkDepth runs in processes of their own: it prints names and values.

// openOnly says how long Open takes, and how much of that it works, and leaves the file as a kill does.
func openOnly(path string) error {
	cpu, err := cpuTime()
	begin := time.Now()
	_, err2 := Open(path, Options{})
	took := time.Since(begin)
	cpuAfter, err3 := cpuTime()
	fmt.Println(took.Seconds(), (cpuAfter - cpu).Seconds())
	return errors.Join(err, err2, err3)
}

// lookInto measures an open queue.
func lookInto(path string) error {
	q, err := Open(path, Options{})
	if err != nil {
		return err
	}
	anon, err := anonymous()
	fmt.Println("anon-MiB", float64(anon)/(1<<20))
	err = errors.Join(err, lookIdle())
	lanes, due, err2 := lanesOf(q)
	return errors.Join(err, err2, lookDepths(q), lookClaim(q, lanes, due), lookEnqueue(q, lanes), lookList(q), q.Close())
}

func lookIdle() error {
	cpu, err := cpuTime()
	wrote, err2 := written()
	time.Sleep(2 * time.Second)
	cpuAfter, err3 := cpuTime()
	wroteAfter, err4 := written()
	fmt.Println("idle-cpu-ms", float64(cpuAfter-cpu)/1e6)
	fmt.Println("idle-B", wroteAfter-wrote)
	return errors.Join(err, err2, err3, err4)
}

// lanesOf returns a Take of each lane, and of those that have a job due.
func lanesOf(q *Queue) (all, due []queue.Take, err error) {
	for j, err := range q.Jobs(context.Background(), queue.Filter{Heads: true}) {
		if err != nil {
			return nil, nil, err
		}
		t := queue.Take{Lane: j.Lane(), N: 1}
		all = append(all, t)
		if !j.Due.After(start) {
			due = append(due, t)
		}
	}
	return all, due, nil
}

// lookDepths counts the jobs of all lanes.
func lookDepths(q *Queue) error {
	var took []time.Duration
	for range 50 {
		begin := time.Now()
		for _, err := range q.Depths(context.Background(), start) {
			if err != nil {
				return err
			}
		}
		took = append(took, time.Since(begin))
	}
	fmt.Printf("depths-p50-µs %v\n", float64(percentile(took, 50))/1e3)
	return nil
}

// lookClaim claims one job at a time and gives it back.
func lookClaim(q *Queue, all, due []queue.Take) error {
	const times = 2000
	for _, c := range []struct {
		name string
		take func(n int) []queue.Take
	}{
		{"any", func(int) []queue.Take { return nil }},
		{"one", func(n int) []queue.Take { return due[n%len(due):][:1] }},
		{"all", func(int) []queue.Take { return all }},
	} {
		took, err := claimAndReturn(q, times, c.take)
		if err != nil {
			return err
		}
		printClaim(c.name, took)
	}
	return lookBusyClaim(q, times, all)
}

func printClaim(name string, took []time.Duration) {
	for _, p := range []int{50, 99} {
		fmt.Printf("claim-%s-p%d-µs %v\n", name, p, float64(percentile(took, p))/1e3)
	}
}

// claimAndReturn claims one job after the other, and gives back a few at a time.
func claimAndReturn(q *Queue, times int, take func(n int) []queue.Take) (took []time.Duration, err error) {
	ctx := context.Background()
	var claimed []*queue.Job
	for n := range times {
		r := queue.ClaimRequest{Now: start, Lease: time.Hour, Limit: 1, Take: take(n), Expired: true}
		begin := time.Now()
		c, err := q.Claim(ctx, r)
		took = append(took, time.Since(begin))
		if err == nil && len(c.Jobs) != 1 {
			err = fmt.Errorf("%d jobs claimed", len(c.Jobs))
		}
		if err != nil {
			return nil, err
		}
		if claimed = append(claimed, c.Jobs[0]); len(claimed) < 8 {
			continue
		}
		errs := make(chan error)
		for _, j := range claimed {
			go func() { errs <- q.Commit(ctx, j) }()
		}
		for range claimed {
			if e := <-errs; e != nil {
				return nil, e
			}
		}
		claimed = nil
	}
	return took, nil
}

// lookBusyClaim claims while 64 callers enqueue.
func lookBusyClaim(q *Queue, times int, lanes []queue.Take) error {
	var n atomic.Int64
	n.Store(1 << 30)
	var stop atomic.Bool
	var wg sync.WaitGroup
	errs := make(chan error, 64)
	for range 64 {
		wg.Go(func() {
			for !stop.Load() {
				if _, err := q.Enqueue(context.Background(), benchLater(int(n.Add(1)), 1<<10, lanes)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	took, err := claimAndReturn(q, times, func(int) []queue.Take { return nil })
	stop.Store(true)
	wg.Wait()
	close(errs)
	if err = cmp.Or(err, <-errs); err == nil {
		printClaim("busy", took)
	}
	return err
}

// benchLater is a message that isn't due, for one of these lanes.
func benchLater(n, size int, lanes []queue.Take) *queue.Entry {
	e := benchEntry(n, size)
	e.Jobs[0].Domain = lanes[rand.IntN(len(lanes))].Lane.Domain
	e.Jobs[0].Due = start.Add(time.Hour)
	return e
}

// lookEnqueue sets q against an empty queue.
func lookEnqueue(q *Queue, lanes []queue.Take) error {
	empty, err := Open(filepath.Join(filepath.Dir(q.path), "empty.db"), Options{})
	if err != nil {
		return err
	}
	defer os.Remove(empty.path)
	defer empty.Close()
	var n atomic.Int64
	n.Store(1<<30 + 1<<28)
	enqueue := func(q *Queue, size int) time.Duration {
		took, e := timeEach(64, 8, func() error {
			_, err := q.Enqueue(context.Background(), benchLater(int(n.Add(1)), size, lanes))
			return err
		})
		err = cmp.Or(err, e)
		return took
	}
	var small, ofEmpty ratios
	for range 30 {
		small.add(enqueue(empty, 1<<10), enqueue(q, 1<<10))
		ofEmpty.add(enqueue(empty, benchSize), enqueue(q, benchSize))
	}
	fmt.Println("of-empty", ofEmpty.median())
	fmt.Println("small-of-empty", small.median())
	return err
}

func lookList(q *Queue) error {
	base, peak, n := heapInUse(), uint64(0), 0
	begin := time.Now()
	var paused time.Duration
	for _, err := range q.Jobs(context.Background(), queue.Filter{}) {
		if err != nil {
			return err
		}
		if n++; n%20_000 == 0 {
			pause := time.Now()
			peak = max(peak, heapInUse())
			paused += time.Since(pause)
		}
	}
	fmt.Println("list-KiB", (int64(max(base, peak))-int64(base))>>10)
	fmt.Println("list-µs/job", (time.Since(begin)-paused).Seconds()*1e6/float64(n))
	return nil
}
