package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/queue/memqueue"
)

// What is remembered is bounded, in memory and in the notes, and the newest stays.
func TestLevelsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls, q := newLevels(), memqueue.New()
		const many = 200_000
		for i := range many {
			if i%(many/20) == 0 {
				time.Sleep(24 * time.Hour)
			}
			ls.saw(fmt.Sprintf("a-domain-of-usual-length-%d.example", i), verified, time.Now())
		}
		if err := ls.store(t.Context(), q); err != nil {
			t.Fatal(err) // as for a note that is too long
		}
		known := 0
		for i := range ls.shards {
			known += len(ls.shards[i].names)
		}
		if known > many*2/3 || known < 10_000 {
			t.Errorf("%d names are known", known)
		}
		last := fmt.Sprintf("a-domain-of-usual-length-%d.example", many-1)
		if ls.level(last, time.Now()) != verified {
			t.Error("the newest is forgotten")
		}
		again := newLevels()
		if err := again.load(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		if again.level(last, time.Now()) != verified {
			t.Error("the newest is not stored")
		}
	})
}

// Two processes that store on the same notes don't take from each other what is newer.
func TestLevelsAreShared(t *testing.T) {
	q := memqueue.New()
	one, two := newLevels(), newLevels()
	now := time.Now()
	for i := range 1000 {
		one.saw(fmt.Sprintf("one%d.example", i), verified, now)
		two.saw(fmt.Sprintf("two%d.example", i), encrypted, now)
	}
	for _, ls := range []*levels{one, two, one} {
		if err := ls.store(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	three := newLevels()
	if err := three.load(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if three.level(fmt.Sprintf("one%d.example", i), now) != verified || three.level(fmt.Sprintf("two%d.example", i), now) != encrypted {
			t.Fatalf("the %d. is lost", i)
		}
	}
}

// A store that fails costs nothing but time.
func TestLevelsThatCannotBeStored(t *testing.T) {
	ls, q := newLevels(), &failingNotes{Queue: memqueue.New(), err: errors.New("disk full")}
	ls.saw("a.example", verified, time.Now())
	if err := ls.store(t.Context(), q); !errors.Is(err, q.err) {
		t.Errorf("%v", err)
	}
	q.err = nil
	if err := ls.store(t.Context(), q); err != nil {
		t.Error(err)
	}
	again := newLevels()
	if err := again.load(t.Context(), q); err != nil || again.level("a.example", time.Now()) != verified {
		t.Errorf("not stored the second time: %v", err)
	}
}

type failingNotes struct {
	*memqueue.Queue
	err error
}

func (n *failingNotes) Set(ctx context.Context, key string, value []byte) error {
	if n.err != nil {
		return n.err
	}
	return n.Queue.Set(ctx, key, value)
}

// A level is the best that was seen, until it fell, for a month.
func TestLevels(t *testing.T) {
	now := time.Now().UTC() // so that a day is one of 24 hours, as what is remembered has it
	ls := newLevels()
	want := func(days int, l level) {
		t.Helper()
		if got := ls.level("a.example", now.AddDate(0, 0, days)); got != l {
			t.Errorf("after %d days: %v, want %v", days, got, l)
		}
	}
	want(0, plaintext)
	ls.saw("a.example", plaintext, now)
	want(0, plaintext)
	ls.saw("a.example", verified, now)
	ls.saw("a.example", encrypted, now.AddDate(0, 0, 10)) // is no sight of the better one
	want(30, verified)
	want(31, plaintext)
	ls.saw("a.example", verified, now.AddDate(0, 0, 8))
	want(38, verified)
	ls.saw("a.example", verified, now.AddDate(0, 0, 10)) // too early to be noted again
	want(39, plaintext)
	ls.saw("a.example", encrypted, now.AddDate(0, 0, 40))
	want(40, encrypted)
	ls.fell("a.example", verified, now.AddDate(0, 0, 40))
	want(40, encrypted)
	ls.fell("a.example", plaintext, now.AddDate(0, 0, 41))
	want(41, plaintext)
	for _, name := range []string{"", "a b", "a\nb", strings.Repeat("a", 256)} {
		ls.saw(name, verified, now)
		if ls.level(name, now) != plaintext {
			t.Errorf("%.10q is kept", name)
		}
	}
}

// FuzzLevels reads whatever a note may be, keeps within its bounds, and understands what it writes.
func FuzzLevels(f *testing.F) {
	f.Add("1\na.example 2 20000\nb.example 1 20001\n")
	f.Add("1\na.example 3 20000\nb.example 1 99999999\nc.example -1 1\n")
	f.Add("2\na.example 2 20000\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, note string) {
		now := time.Unix(20_002*24*60*60, 0)
		s := levelShard{names: make(map[string]shown)}
		s.adopt([]byte(note), now)
		text := s.marshal(now)
		if len(text) > 64<<10 {
			t.Fatalf("a note of %d octets", len(text))
		}
		again := levelShard{names: make(map[string]shown)}
		again.adopt(text, now)
		if len(again.names) != len(s.names) {
			t.Fatalf("%v became %v", s.names, again.names)
		}
		for name, shown := range s.names {
			if again.names[name] != shown {
				t.Fatalf("%s: %v became %v", name, shown, again.names[name])
			}
		}
	})
}
