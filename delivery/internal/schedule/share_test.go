package schedule

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
)

// newShared returns a world whose State has others beside it. Its domain a.example leads to the site "site".
func newShared(t *testing.T, policy *shaping.Policy) *toy {
	w := newToy(t, 10, policy)
	w.s = New(Config{Total: 10, Policy: policy, Rand: rand.New(rand.NewPCG(1, 2)), Shared: true})
	w.siteOf = func(string) string { return "site" }
	w.server = func(string, int) toyAnswer { return toyAnswer{message: time.Second} }
	return w
}

// beat has the State get n connections of the site for a minute, after it has told what it needs.
func (w *toy) beat(n int) Need {
	need := w.s.Needs(w.now, 100).Sites["site"]
	w.step(Shares{Sites: map[string]int{"site": n}, Rates: RateParts, Until: w.now.Add(time.Minute)})
	return need
}

func (w *toy) wantOpen(n int) {
	w.t.Helper()
	if got := w.open["site"]; got != n {
		w.t.Errorf("%d connections, want %d", got, n)
	}
}

// Nothing begins before there are shares; then the way of a domain is found out, its site asked for, and no more connections
// made than are had.
func TestShareOfSite(t *testing.T) {
	w := newShared(t, few(5))
	w.add(lane1("a.example"), 1000)
	w.run(time.Minute)
	if len(w.order) > 0 {
		t.Fatal("something begins without shares")
	}
	if need := w.beat(0); need != (Need{}) {
		t.Errorf("needs %+v of a site that isn't known", need)
	}
	w.run(time.Second)
	w.wantOpen(0)
	if w.asks != 1 || len(w.order) == 0 {
		t.Errorf("asks %d times after %d attempts", w.asks, len(w.order))
	}
	if need := w.beat(3); need != (Need{Want: 5}) {
		t.Errorf("needs %+v", need)
	}
	w.run(5 * time.Second)
	w.wantOpen(3)
	if w.asks != 1 {
		t.Errorf("asks %d times for the same", w.asks)
	}
}

// Who has more than its share comes down as its dialogues end, begins nothing there meanwhile, and says when it is done.
func TestShareComesDown(t *testing.T) {
	w := newShared(t, few(5))
	w.add(lane1("a.example"), 10_000)
	w.beat(0)
	w.run(time.Second)
	w.beat(5)
	w.run(10 * time.Second)
	w.wantOpen(5)
	asks := w.asks
	if need := w.beat(2); need != (Need{Want: 5, Used: 5}) {
		t.Errorf("needs %+v", need)
	}
	if w.wantOpen(5); w.asks != asks {
		t.Error("says that it has come down")
	}
	w.run(2 * time.Second)
	if w.wantOpen(2); w.asks != asks+1 {
		t.Errorf("has said %d times that it has come down", w.asks-asks)
	}
	w.beat(0)
	w.run(2 * time.Second)
	w.wantOpen(0)
	w.run(time.Minute)
	if w.inHand() != 0 {
		t.Error("keeps jobs in hand")
	}
}

// Who has set out, but not yet dialled, may find that there is no place any more.
func TestShareWhileRouting(t *testing.T) {
	w := newShared(t, few(5))
	w.add(lane1("a.example"), 1000)
	w.beat(0)
	w.run(time.Second)
	w.beat(5)
	w.siteOf = func(string) string { w.beat(2); return "site" } // meanwhile it has become less
	w.run(500 * time.Millisecond)
	w.wantOpen(2)
}

// While others are told how much is used, that doesn't become more; and it goes on when they have answered.
func TestShareWhileTelling(t *testing.T) {
	w := newShared(t, few(5))
	w.add(lane1("a.example"), 1)
	w.beat(0)
	w.run(time.Second)
	w.beat(5)
	w.run(500 * time.Millisecond)
	w.wantOpen(1)
	needs := w.s.Needs(w.now, 100)
	w.add(lane1("a.example"), 1000)
	w.run(10 * time.Second)
	if w.wantOpen(1); needs.Sites["site"].Used != 1 {
		t.Errorf("has told %+v", needs.Sites)
	}
	w.step(Shares{Sites: map[string]int{"site": 4}, Until: w.now.Add(time.Minute)})
	w.run(time.Second)
	w.wantOpen(4)
}

// When the time of the shares is over nothing begins, whatever its site, until there are others.
func TestSharesLapse(t *testing.T) {
	w := newShared(t, few(5))
	w.add(lane1("a.example"), 10_000)
	w.beat(0)
	w.run(time.Second)
	w.beat(5)
	w.run(59 * time.Second)
	w.wantOpen(5)
	w.run(2 * time.Second)
	w.wantOpen(0)
	if w.inHand() > 0 {
		t.Errorf("%d jobs in hand, which may be others' soon", w.inHand())
	}
	begun := len(w.order)
	w.add(lane1("b.example"), 10)
	w.run(time.Hour)
	if len(w.order) != begun {
		t.Errorf("%d attempts begin", len(w.order)-begun)
	}
	w.beat(5)
	w.run(time.Second)
	w.wantOpen(5)
}

// A part of a site's connections goes with the same part of its rates; of all other rates it is what the shares say.
func TestShareOfRates(t *testing.T) {
	w := newShared(t, &shaping.Policy{
		Default: shaping.Limits{Connections: 10, MessageRate: shaping.Rate{N: 10, Per: time.Minute}},
	})
	w.add(lane1("a.example"), 1000)
	w.beat(0)
	w.run(time.Second)
	for range 10 {
		w.beat(3)
		w.run(59 * time.Second)
	}
	if n := w.sent["a.example"]; n < 28 || n > 31 {
		t.Errorf("%d messages in ten minutes, by 3/10 of 10 a minute", n)
	}
	for _, test := range []struct {
		rate  shaping.Rate
		n, of int
		want  shaping.Rate
	}{
		{shaping.Rate{}, 1, 2, shaping.Rate{}},
		{shaping.Rate{N: 5, Per: time.Minute, Burst: 5}, 2, 2, shaping.Rate{N: 5, Per: time.Minute, Burst: 5}},
		{shaping.Rate{N: 5, Per: time.Minute, Burst: 5}, 1, 2, shaping.Rate{N: 5, Per: 2 * time.Minute, Burst: 2}},
		{shaping.Rate{N: 5, Per: time.Minute}, 0, 1000, shaping.Rate{N: 5, Per: 1000 * time.Minute, Burst: 1}},
		{shaping.Rate{N: 1, Per: math.MaxInt64}, 1, 3, shaping.Rate{N: 1, Per: longestPart, Burst: 1}},
	} {
		if got := partOf(test.rate, test.n, test.of); got != test.want {
			t.Errorf("%d/%d of %+v: %+v, want %+v", test.n, test.of, test.rate, got, test.want)
		}
	}
}

// What there is no room to ask for is asked for in turn: what has waited longest first.
func TestNeedsInTurn(t *testing.T) {
	w := newShared(t, few(5))
	w.siteOf = func(domain string) string { return "site of " + domain }
	w.step(Shares{Until: w.now.Add(time.Hour)})
	for _, d := range []string{"c.example", "a.example", "b.example"} {
		w.add(lane1(d), 1)
		w.run(time.Second)
	}
	needs := w.s.Needs(w.now, 2)
	if _, newest := needs.Sites["site of b.example"]; len(needs.Sites) != 2 || newest || !needs.Hungry {
		t.Errorf("needs %+v", needs)
	}
}
