package boltqueue

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/postroad/postroad/queue"
)

// Keys are made so that bbolt's order of octets is the order that is asked for. Neither IDs nor strings contain NUL, so a
// NUL ends them; numbers are big-endian, with the sign bit turned.

// jobKey is the ID, NUL and the number.
func jobKey(k queue.Key) []byte { return appendJobKey(nil, k) }

func appendJobKey(b []byte, k queue.Key) []byte {
	b = append(b, k.ID...)
	b = append(b, 0)
	return binary.BigEndian.AppendUint32(b, uint32(k.N))
}

func parseJobKey(b []byte) (queue.Key, error) {
	id, n, ok := bytes.Cut(b, []byte{0})
	k := queue.Key{ID: queue.ID(id)}
	if !ok || len(n) != 4 || !k.ID.Valid() {
		return queue.Key{}, fmt.Errorf("%w: %q is not a job's key", queue.ErrDamaged, b)
	}
	k.N = int(binary.BigEndian.Uint32(n))
	return k, nil
}

// timeSize is what appendTime adds: seconds and nanoseconds.
const timeSize = 12

func appendTime(b []byte, t time.Time) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix())^1<<63)
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

// parseTime returns the time that b begins with.
func parseTime(b []byte) time.Time {
	sec := int64(binary.BigEndian.Uint64(b) ^ 1<<63)
	return time.Unix(sec, int64(binary.BigEndian.Uint32(b[8:]))).UTC()
}

// entryKey is the key of an entry that orders jobs by time behind a prefix: a lane, or nothing.
func entryKey(prefix []byte, at time.Time, k queue.Key) []byte {
	b := append(make([]byte, 0, len(prefix)+timeSize+len(k.ID)+5), prefix...)
	return appendJobKey(appendTime(b, at), k)
}

// parseEntryKey takes apart what follows the prefix in an entryKey.
func parseEntryKey(b []byte) (at time.Time, k queue.Key, err error) {
	if len(b) < timeSize {
		return at, k, fmt.Errorf("%w: %q is not an entry by time", queue.ErrDamaged, b)
	}
	k, err = parseJobKey(b[timeSize:])
	return parseTime(b), k, err
}

// The state in the key of a lane's entry says which jobs stand there.
const (
	retryState byte = 1 << iota // they were tried before
	heldState                   // they are held, so a claim of the lane passes them over
)

// lanePrefix is what all entries of a lane begin with, of its held jobs or of the others, and no other entry does.
func lanePrefix(l queue.Lane, held bool) []byte {
	b := append(make([]byte, 0, len(l.Domain)+len(l.Tenant)+4), l.Domain...)
	b = append(append(append(b, 0), l.Tenant...), 0)
	state := byte(0)
	if l.Retry {
		state |= retryState
	}
	if held {
		state |= heldState
	}
	return append(b, byte(l.Priority)^0x80, state)
}

// parseLane returns the lane of an entry in the index of lanes, whether its job is held, and the length of its prefix.
func parseLane(b []byte) (l queue.Lane, held bool, n int, err error) {
	domain, rest, ok := bytes.Cut(b, []byte{0})
	tenant, rest, ok2 := bytes.Cut(rest, []byte{0})
	if !ok || !ok2 || len(rest) < 2 || rest[1] > retryState|heldState {
		return l, false, 0, fmt.Errorf("%w: %q is not an entry of a lane", queue.ErrDamaged, b)
	}
	l = queue.Lane{
		Domain: string(domain), Tenant: string(tenant), Priority: queue.Priority(rest[0] ^ 0x80), Retry: rest[1]&retryState != 0,
	}
	return l, rest[1]&heldState != 0, len(b) - len(rest) + 2, nil
}

func numberKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func parseNumberKey(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("%w: %q is not a number", queue.ErrDamaged, b)
	}
	return binary.BigEndian.Uint64(b), nil
}

// The parts of a body, in their order.
const (
	headPart byte = iota // what fits into memory; of a large body only what Head returned
	bodyPart             // what was written ahead
)

// segmentKey names up to segmentSize octets of a body.
func segmentKey(body uint64, part byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(append(numberKey(body), part), n)
}
