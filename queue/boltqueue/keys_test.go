package boltqueue

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// The order of keys is the order that claims and listings go by.
func TestKeyOrder(t *testing.T) {
	keys := []queue.Key{{ID: "a"}, {ID: "a", N: 1}, {ID: "a", N: 256}, {ID: "a-b"}, {ID: "aa"}, {ID: "b"}}
	times := []time.Time{{}, time.Unix(-1, 999_999_999), time.Unix(0, 0), time.Unix(0, 1), start, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	prefix := lanePrefix(queue.Lane{Domain: "example.com", Tenant: "t"}, false)
	var sorted [][]byte
	for _, at := range times {
		for _, k := range keys {
			b := entryKey(prefix, at, k)
			gotAt, got, err := parseEntryKey(b[len(prefix):])
			if err != nil || !gotAt.Equal(at) || got != k {
				t.Errorf("%v %v was read as %v %v (%v)", at, k, gotAt, got, err)
			}
			sorted = append(sorted, b)
		}
	}
	if !slices.IsSortedFunc(sorted, bytes.Compare) {
		t.Error("entries don't sort by time and key")
	}
}

// No lane's entries begin as another's, nor its held ones as the others.
func TestLanePrefixes(t *testing.T) {
	type part struct {
		queue.Lane
		held bool
	}
	var parts []part
	for _, domain := range []string{"a", "a.b", "ab", "\x01", "\u00ff"} {
		for _, tenant := range []string{"", "\x01", "a", "\u00ff"} {
			for _, p := range []queue.Priority{-128, queue.Low, queue.Normal, queue.High, 127} {
				for state := range 4 {
					l := queue.Lane{Domain: domain, Tenant: tenant, Priority: p, Retry: state&1 != 0}
					parts = append(parts, part{l, state&2 != 0})
				}
			}
		}
	}
	last := entryKey(nil, time.Unix(1<<62, 0), queue.Key{ID: "z", N: 1 << 30})
	for _, l := range parts {
		prefix := lanePrefix(l.Lane, l.held)
		if got, held, n, err := parseLane(append(prefix, last...)); err != nil || (part{got, held}) != l || n != len(prefix) {
			t.Errorf("%+v was read as %+v, held %v, %d octets, %v", l, got, held, n, err)
		}
		for _, other := range parts {
			p := lanePrefix(other.Lane, other.held)
			if other != l && bytes.HasPrefix(p, prefix) {
				t.Errorf("%+v has the prefix of %+v", other, l)
			}
		}
	}
}
