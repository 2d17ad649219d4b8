package main

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"
)

// figure is a number to print: rounded, and null if it isn't known.
type figure float64

// MarshalJSON prints four digits, or all of them before the point.
func (f figure) MarshalJSON() ([]byte, error) {
	v := float64(f)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return []byte("null"), nil
	case math.Abs(v) >= 1000:
		return strconv.AppendFloat(nil, math.Round(v), 'f', -1, 64), nil
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil {
		return nil, err
	}
	return json.Marshal(rounded)
}

// figures are what one run comes to.
type figures struct {
	EnqueuePerS   figure `json:"enqueue_per_s"`   // from the first call of Enqueue to the last return
	DeliveredPerS figure `json:"delivered_per_s"` // from the first call of Enqueue, or the start of Run, to the last arrival
	EnqueueP50    figure `json:"enqueue_p50_ms"`
	EnqueueP99    figure `json:"enqueue_p99_ms"`
	EndToEndP50   figure `json:"e2e_p50_ms"` // from the call of Enqueue to the arrival
	EndToEndP99   figure `json:"e2e_p99_ms"`
	CPU           figure `json:"cpu_us_per_msg"` // of all that isn't the sink: the callers are in it
	PeakRSS       figure `json:"peak_rss_mb"`    // with what is in memory of the queue's file
	Syncs         figure `json:"syncs_per_msg"`
	Written       figure `json:"written_bytes_per_msg"` // to the disk
	Allocs        figure `json:"allocs_per_msg"`
	Lost          int    `json:"lost"`
	Duplicates    int    `json:"duplicates"`
}

func (f *figures) enqueued() figure  { return f.EnqueuePerS }
func (f *figures) delivered() figure { return f.DeliveredPerS }

const megabyte = 1e6

// unknown is a figure that isn't.
var unknown = figure(math.NaN())

// arrivals fills in how fast messages were, when deliveries could begin, and what became of them.
func (f *figures) arrivals(t *timing, r receipts, began time.Time) {
	f.EnqueueP50, f.EnqueueP99 = percentile(t.took, 50), percentile(t.took, 99)
	delays, last := make([]time.Duration, 0, len(r.first)), began
	for n, at := range r.first {
		if at == 0 {
			f.Lost++
			continue
		}
		arrived := time.Unix(0, at)
		delays = append(delays, arrived.Sub(t.called[n]))
		if arrived.After(last) {
			last = arrived
		}
	}
	f.EndToEndP50, f.EndToEndP99 = percentile(delays, 50), percentile(delays, 99)
	f.DeliveredPerS = rate(len(delays), last.Sub(began))
	f.Duplicates = r.duplicates
}

// costs fills in what n messages have used.
func (f *figures) costs(before, after usage, n int) {
	per := func(before, after float64) figure { return figure((after - before) / float64(n)) }
	f.CPU = per(before.cpu, after.cpu)
	f.Syncs = per(before.syncs, after.syncs)
	f.Written = per(before.written, after.written)
	f.Allocs = per(before.allocs, after.allocs)
}

// percentile is the time in milliseconds that so many percent don't exceed.
func percentile(all []time.Duration, percent int) figure {
	if len(all) == 0 {
		return unknown
	}
	sorted := slices.Sorted(slices.Values(all))
	return figure(sorted[min(len(all)-1, len(all)*percent/100)].Seconds() * 1000)
}

// rate is messages per second.
func rate(n int, took time.Duration) figure { return figure(float64(n) / took.Seconds()) }

// median is the element in the middle by what value says.
func median[T any](all []T, value func(T) figure) T {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b T) int {
		switch va, vb := value(a), value(b); {
		case va < vb:
			return -1
		case va > vb:
			return 1
		}
		return 0
	})
	return sorted[len(sorted)/2]
}
