package pgqueue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// text is JSON as the database gives it back.
func text(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is encoded is decoded as it was.
func TestCodec(t *testing.T) {
	at := time.Date(2041, 5, 6, 7, 8, 9, 123456000, time.UTC)
	reply := queue.Reply{Host: "mx.example", Addr: "192.0.2.1:25", Phase: "rcpt", Code: 451, Enhanced: "4.7.1", Text: "later,\n<\u2028>"}
	recipients := []queue.Recipient{{Address: "a@example.com"}, {
		Address: "b@example.com", From: "verp@example.org", State: queue.Bounced, Decided: at, Uncertain: true, Reply: reply, Notify: queue.NotifyDelay,
		Original: "rfc822;B@example.com", Reason: "why", Report: "report", Mark: 7,
	}, {Address: "c@example.com", State: 200, Mark: 8}}
	list, err := encodeRecipients(recipients)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeRecipients(text(t, list), []int64{0, 7, 8}); err != nil || !reflect.DeepEqual(got, recipients) {
		t.Errorf("recipients\n got %+v, error %v\nwant %+v", got, err, recipients)
	}
	attempts := []queue.Attempt{{Time: at}, {Took: time.Second, TLS: "TLS 1.3", Verified: true, QueueID: "x", Uncertain: true, Reply: reply}}
	tried, err := encodeAttempts(attempts)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeAttempts(text(t, tried)); err != nil || !reflect.DeepEqual(got, attempts) {
		t.Errorf("attempts\n got %+v, error %v\nwant %+v", got, err, attempts)
	}
	if _, err := encodeAttempts([]queue.Attempt{{Time: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}}); err == nil {
		t.Error("an attempt in the year 10000 is encoded")
	}
}

// FuzzDecode: no record that somebody has put into the database ends the program.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`[{"address":"a@example.com","state":"pending"}]`))
	f.Add([]byte(`[{"state":"bounced","decided":"2041-05-06T07:08:09.1234567+02:00"},{"state":"failed","decided":"0000-01-01T00:00:00Z"}]`))
	f.Add([]byte(`[{"state":"State(9)","reply":{"code":1}}]`))
	f.Add([]byte(`[{"time":"2041-05-06T07:08:09Z","took":9,"reply":null}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if list, err := decodeRecipients(b, []int64{1}); err == nil {
			again, err := encodeRecipients(list)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeRecipients(text(t, again), []int64{1})
			if err != nil || !reflect.DeepEqual(got, list) {
				t.Fatalf("%q is read as %+v, and then as %+v, error %v", b, list, got, err)
			}
		}
		_, _ = decodeAttempts(b)
	})
}

func TestLaneID(t *testing.T) {
	seen := map[laneID]bool{}
	for _, l := range []queue.Lane{{}, {Domain: "a"}, {Tenant: "a"}, {Domain: "a", Tenant: "b"}, {Domain: "ab"}, {Tenant: "ab"}, {Priority: 1}, {Priority: -1}, {Priority: 1, Tenant: "1"}} {
		seen[newLaneID(l.Domain, l.Tenant, l.Priority)] = true
	}
	if len(seen) != 9 {
		t.Errorf("9 lanes have %d names", len(seen))
	}
}

// Whatever holders want, come and go, together they never have more than the one that wants most, and in the end all slots are used
// and each has some.
func TestShares(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		holders := map[string]holder{}
		beat := func(name string, want int) {
			var others []holder
			delete(holders, name)
			for h := range maps.Values(holders) {
				others = append(others, h)
			}
			h := holder{name: name, want: map[string]queue.Slots{"x": {Want: want}}}
			h.have = shares(h, others, 0)
			holders[name] = h
		}
		sum := func() (total, most, wanted int) {
			for _, h := range holders {
				total, most, wanted = total+h.have["x"], max(most, h.want["x"].Want), wanted+h.want["x"].Want
			}
			return total, most, wanted
		}
		n, wants := 1+r.IntN(6), map[string]int{}
		for i := range n {
			wants[fmt.Sprint(i)] = n + r.IntN(20)
		}
		for range 5 {
			for name, want := range wants {
				beat(name, want)
				if total, most, _ := sum(); total > most {
					t.Fatalf("%v: %d of %d slots are given out", holders, total, most)
				}
			}
		}
		if total, most, wanted := sum(); total != min(most, wanted) {
			t.Fatalf("%v: %d of %d slots are given out in the end", holders, total, most)
		}
		for name, h := range holders {
			if h.have["x"] == 0 {
				t.Fatalf("%v: %s has none", holders, name)
			}
		}
	}
}

func TestFill(t *testing.T) {
	for _, size := range []int{0, 1, smallBody, smallBody + 1, segmentSize - 1, segmentSize, segmentSize + 1} {
		b, err := fill(t.Context(), make([]byte, 0, smallBody), bytes.NewReader(make([]byte, size)))
		if len(b) != min(size, segmentSize) || (err == nil) != (size >= segmentSize) {
			t.Errorf("of %d octets %d were read, error %v", size, len(b), err)
		}
	}
}
