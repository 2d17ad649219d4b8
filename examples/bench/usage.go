package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"runtime"
	"time"
)

// usage is what this process has used so far. What the system doesn't tell is NaN.
type usage struct {
	cpu     float64 // microseconds
	written float64 // octets that the disk has to write
	allocs  float64
	syncs   float64 // of the queue's file
}

func used() usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{
		cpu:     float64(cpuTime()) / float64(time.Microsecond),
		written: procValue("/proc/self/io", "write_bytes"),
		allocs:  float64(m.Mallocs),
	}
}

// peakRSS is how many octets of memory this process has had at most. It isn't getrusage's figure, which begins with what the program had
// that started this one.
func peakRSS() float64 { return procValue("/proc/self/status", "VmHWM") * 1024 }

// anonymous is the memory of this process that is no file's, in octets.
func anonymous() float64 { return procValue("/proc/self/status", "RssAnon") * 1024 }

// procValue reads a number from a file of lines like "name: number".
func procValue(file, name string) float64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return math.NaN()
	}
	_, rest, _ := bytes.Cut(append([]byte("\n"), b...), []byte("\n"+name+":"))
	var v float64
	if _, err := fmt.Sscan(string(rest), &v); err != nil {
		return math.NaN()
	}
	return v
}
