package boltqueue

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// full has something in every field.
func full() (*messageRecord, *jobRecord) {
	reply := queue.Reply{Host: "mx.example.com", Addr: "192.0.2.1:25", Phase: "rcpt", Code: 550, Enhanced: "5.1.1", Text: "no such user\nreally"}
	m := &messageRecord{
		Message: queue.Message{
			From: "s@example.org", Tenant: "t", Priority: queue.Low, Labels: []string{"", "x"}, Size: math.MaxInt64, Digest: [32]byte{1, 31: 2},
			Enqueued: start, Expires: time.Date(9999, 1, 1, 0, 0, 0, 1, time.UTC), UTF8: true, EightBit: true,
			Return: queue.ReturnFull, EnvelopeID: "env", TLS: queue.TLSVerified,
		},
		Body: math.MaxUint64, Unfinished: queue.MaxJobs, Ended: start,
	}
	j := &jobRecord{queue.Job{
		Domain: "example.com", Due: start, Finished: start, Tries: 7, Held: true, Via: "smtp://relay", Lapses: 3, Token: math.MaxUint64,
		Recipients: []queue.Recipient{{
			Address: "u@example.com", From: "s+1@example.org", State: queue.Failed, Uncertain: true, Reply: reply,
			Notify: queue.NotifyDelay | queue.NotifyFailure, Original: "rfc822;u@example.com", Reason: "why", Mark: math.MaxUint64,
			Report: "report", Decided: start,
		}, {}},
		Attempts: []queue.Attempt{{
			Time: start, Took: -time.Second, TLS: "1.3", Verified: true, QueueID: "4c8xyz", Uncertain: true, Reply: reply,
		}, {}},
	}}
	return m, j
}

func TestCodec(t *testing.T) {
	m, j := full()
	j.Attempts[1].Time = time.Time{}
	gotM, err := decodeMessage(m.encode())
	if err != nil || !reflect.DeepEqual(gotM, m) {
		t.Errorf("message: got %+v, want %+v (%v)", gotM, m, err)
	}
	gotJ, err := decodeJob(j.encode())
	if err != nil || !reflect.DeepEqual(gotJ, j) {
		t.Errorf("job: got %+v, want %+v (%v)", gotJ, j, err)
	}
	for name, decode := range map[string]func([]byte) error{
		"message": func(b []byte) error { _, err := decodeMessage(b); return err },
		"job":     func(b []byte) error { _, err := decodeJob(b); return err },
	} {
		b := map[string][]byte{"message": m.encode(), "job": j.encode()}[name]
		for n := range b {
			if err := decode(b[:n]); !errors.Is(err, queue.ErrDamaged) {
				t.Errorf("%s cut to %d octets: %v", name, n, err)
			}
		}
		if err := decode(append(b, 0)); !errors.Is(err, queue.ErrDamaged) {
			t.Errorf("%s with an octet too many: %v", name, err)
		}
	}
}

func TestSeal(t *testing.T) {
	key := []byte("key")
	record := seal(nil, key, []byte("fields"))
	if fields, err := unseal(key, record); err != nil || string(fields) != "fields" {
		t.Errorf("got %q, %v", fields, err)
	}
	if _, err := unseal([]byte("other"), record); !errors.Is(err, queue.ErrDamaged) {
		t.Errorf("under another key: %v", err)
	}
	for i := range record {
		changed := bytes.Clone(record)
		changed[i] ^= 1
		if _, err := unseal(key, changed); !errors.Is(err, queue.ErrDamaged) {
			t.Errorf("octet %d changed: %v", i, err)
		}
	}
}

// FuzzDecode holds decoding of whatever is on disk to three things: it doesn't panic, what it makes is no larger than what it was
// given allows, and what it takes it also gives: decoding what was encoded yields the same.
func FuzzDecode(f *testing.F) {
	m, j := full()
	f.Add(m.encode())
	f.Add(j.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMessage(b); err == nil {
			again, err := decodeMessage(m.encode())
			if err != nil || !reflect.DeepEqual(m, again) {
				t.Errorf("message: %+v became %+v (%v)", m, again, err)
			}
		}
		if j, err := decodeJob(b); err == nil {
			if len(j.Recipients)*14+len(j.Attempts)*11 > len(b) {
				t.Errorf("%d recipients and %d attempts in %d octets", len(j.Recipients), len(j.Attempts), len(b))
			}
			again, err := decodeJob(j.encode())
			if err != nil || !reflect.DeepEqual(j, again) {
				t.Errorf("job: %+v became %+v (%v)", j, again, err)
			}
		}
		if n, err := decodeNote(queue.Key{}, b); err == nil {
			if again, err := decodeNote(queue.Key{}, n.encode()); err != nil || again != n {
				t.Errorf("note: %+v became %+v (%v)", n, again, err)
			}
		}
		if fields, err := unseal(nil, b); err == nil && len(fields) != len(b)-frame {
			t.Errorf("%d fields of %d octets", len(fields), len(b))
		}
		_, _, _ = parseEntryKey(b)
		if l, held, n, err := parseLane(b); err == nil && !bytes.Equal(lanePrefix(l, held), b[:n]) {
			t.Errorf("lane %+v of %q", l, b)
		}
	})
}
