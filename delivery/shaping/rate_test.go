package shaping

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestBucket(t *testing.T) {
	t.Run("the zero rate is no limit", func(t *testing.T) {
		var b Bucket
		for range 1000 {
			wantNext(t, &b, Rate{}, start, 0)
			b.Take(Rate{}, start)
		}
	})
	t.Run("evenly after the burst", func(t *testing.T) {
		var b Bucket
		r := Rate{N: 60, Per: time.Minute, Burst: 3}
		for range 3 {
			wantNext(t, &b, r, start, 0)
			b.Take(r, start)
		}
		wantNext(t, &b, r, start, time.Second)
		b.Take(r, start.Add(time.Second))
		wantNext(t, &b, r, start.Add(time.Second), time.Second)
	})
	t.Run("a burst of 0 is 1", func(t *testing.T) {
		var b Bucket
		r := Rate{N: 1, Per: time.Hour}
		b.Take(r, start)
		wantNext(t, &b, r, start, time.Hour)
	})
	t.Run("a year of idleness gives no more than the burst", func(t *testing.T) {
		var b Bucket
		r := Rate{N: 1000, Per: time.Second, Burst: 5}
		b.Take(r, start)
		later := start.AddDate(1, 0, 0)
		for range 5 {
			wantNext(t, &b, r, later, 0)
			b.Take(r, later)
		}
		wantNext(t, &b, r, later, time.Millisecond)
	})
	t.Run("what was taken too early is owed", func(t *testing.T) {
		var b Bucket
		r := Rate{N: 1, Per: time.Second}
		for range 10 {
			b.Take(r, start)
		}
		wantNext(t, &b, r, start, 10*time.Second)
		wantNext(t, &b, r, start.Add(4*time.Second), 6*time.Second)
	})
	t.Run("asking counts nothing", func(t *testing.T) {
		var b Bucket
		r := Rate{N: 1, Per: time.Second}
		b.Take(r, start)
		for i := range 10 {
			wantNext(t, &b, r, start.Add(time.Duration(i)*100*time.Millisecond), time.Second-time.Duration(i)*100*time.Millisecond)
		}
	})
	t.Run("full", func(t *testing.T) {
		var b Bucket
		r := Rate{N: 1, Per: time.Second}
		if !b.Full(r, start) {
			t.Error("a new Bucket is not full")
		}
		b.Take(r, start)
		if b.Full(r, start.Add(time.Second-1)) || !b.Full(r, start.Add(time.Second)) {
			t.Error("not full after exactly a second")
		}
	})
}

// A rate that is changed holds at once, in whichever direction.
func TestBucketChangedRate(t *testing.T) {
	slow, fast := Rate{N: 1, Per: time.Hour}, Rate{N: 100, Per: time.Second}
	tests := []struct {
		name          string
		before, after Rate
		taken         int
		wait          time.Duration
	}{
		{"faster", slow, fast, 1, 10 * time.Millisecond},
		{"faster, with debts", slow, fast, 5, 50 * time.Millisecond},
		{"slower", fast, slow, 1, time.Hour},
		{"more at once", slow, Rate{N: 1, Per: time.Hour, Burst: 2}, 1, 0},
		{"less at once", Rate{N: 1, Per: time.Hour, Burst: 3}, slow, 3, 3 * time.Hour},
		{"lifted", slow, Rate{}, 9, 0},
		{"new", Rate{}, slow, 9, 0},
		{"to the slowest", slow, Rate{N: 1, Per: math.MaxInt64}, 3, math.MaxInt64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b Bucket
			for range tt.taken {
				b.Take(tt.before, start)
			}
			wantNext(t, &b, tt.after, start, tt.wait)
		})
	}
	t.Run("lifted and back", func(t *testing.T) {
		var b Bucket
		b.Take(slow, start)
		b.Take(Rate{}, start)
		wantNext(t, &b, slow, start, 0)
	})
}

// A clock that jumps neither blocks nor grants anything but what the time that it shows has passed is worth.
func TestBucketClockJumps(t *testing.T) {
	r := Rate{N: 10, Per: time.Second, Burst: 2}
	for _, jump := range []time.Duration{-time.Millisecond, -5 * time.Hour, -100 * 365 * 24 * time.Hour} {
		var b Bucket
		b.Take(r, start)
		b.Take(r, start)
		back := start.Add(jump)
		wantNext(t, &b, r, back, 100*time.Millisecond)
		wantNext(t, &b, r, back.Add(60*time.Millisecond), 40*time.Millisecond)
		b.Take(r, back.Add(100*time.Millisecond))
		wantNext(t, &b, r, back.Add(100*time.Millisecond), 100*time.Millisecond)
	}
}

// wantNext checks that the next one may come after wait.
func wantNext(t *testing.T, b *Bucket, r Rate, now time.Time, wait time.Duration) {
	t.Helper()
	if got := b.Next(r, now).Sub(now); got != wait {
		t.Fatalf("%+v: the next one after %v, want %v", r, got, wait)
	}
}

// Whoever obeys Next never exceeds N + Burst in any window of Per, at whatever moments he comes, and isn't kept from the rate
// either.
func TestBucketWindows(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		r := randomRate(random)
		var b Bucket
		var taken []time.Time
		now, pace := start, int64(r.interval())*4+2
		for range 2000 {
			switch next := b.Next(r, now); {
			case !next.After(now):
				b.Take(r, now)
				taken = append(taken, now)
			case random.IntN(2) == 0:
				now = next
			default:
				now = now.Add(time.Duration(random.Int64N(pace)))
			}
		}
		first := 0
		for i, at := range taken {
			for at.Sub(taken[first]) >= r.Per {
				first++
			}
			if n := i - first + 1; n > r.N+max(r.Burst, 1) {
				t.Fatalf("%+v: %d in one period", r, n)
			}
		}
	}
	t.Run("greedy", func(t *testing.T) {
		for range 100 {
			r := randomRate(random)
			var b Bucket
			now := start
			for range 1000 {
				now = b.Next(r, now)
				b.Take(r, now)
			}
			// What isn't in the burst comes at the rate, which is rounded down by no more than a nanosecond per message.
			most := time.Duration(max(1000-max(r.Burst, 1), 0)) * (r.Per/time.Duration(r.N) + 1)
			if took := now.Sub(start); took > most {
				t.Fatalf("%+v: 1000 took %v, and could %v", r, took, most)
			}
		}
	})
}

// The algorithm's model is a bucket of tokens, each an interval's worth of time, of which debts may make it have less than none.
func TestBucketModel(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	for range 200 {
		r := randomRate(random)
		interval, burst := r.interval(), time.Duration(max(r.Burst, 1))
		var b Bucket
		tokens, now := burst*interval, start
		for range 500 {
			passed := time.Duration(random.Int64N(int64(interval)*2 + 2))
			now = now.Add(passed)
			tokens = min(burst*interval, tokens+passed)
			wantNext(t, &b, r, now, max(0, interval-tokens))
			if random.IntN(2) == 0 {
				b.Take(r, now)
				tokens -= interval
			}
		}
	}
}

func TestScale(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	number := func() uint64 { return random.Uint64() >> (1 + random.IntN(63)) }
	check := func(d, n, m uint64) {
		t.Helper()
		want := new(big.Int).Mul(new(big.Int).SetUint64(d), new(big.Int).SetUint64(n))
		want.Div(want, new(big.Int).SetUint64(m))
		if most := big.NewInt(math.MaxInt64); want.Cmp(most) > 0 {
			want = most
		}
		if got := scale(time.Duration(d), n, m); int64(got) != want.Int64() {
			t.Errorf("%d·%d/%d = %d, want %d", d, n, m, got, want)
		}
	}
	for range 10000 {
		check(number(), number(), number()+1)
	}
	check(1<<62, 4, 1) // the quotient is one more than 64 bits hold
	check(math.MaxInt64, math.MaxInt64, math.MaxInt64)
	check(math.MaxInt64, 2, 2)
	check(0, 0, 1)
}

func randomRate(random *rand.Rand) Rate {
	pers := []time.Duration{7, time.Millisecond, time.Second, time.Minute, 24 * time.Hour}
	return Rate{N: 1 + random.IntN(1000), Per: pers[random.IntN(len(pers))], Burst: random.IntN(50)}
}

// Nothing overflows, wherever the numbers come from.
func FuzzBucket(f *testing.F) {
	f.Add(1, int64(time.Second), 1, int64(0), 2, int64(time.Hour), 3, int64(-time.Hour))
	f.Fuzz(func(t *testing.T, n int, per int64, burst int, passed int64, n2 int, per2 int64, burst2 int, passed2 int64) {
		var b Bucket
		now := start
		for range 3 {
			for _, s := range []struct {
				rate   Rate
				passed int64
			}{{Rate{n, time.Duration(per), burst}, passed}, {Rate{n2, time.Duration(per2), burst2}, passed2}} {
				now = now.Add(time.Duration(s.passed))
				if next := b.Next(s.rate, now); next.Before(now) {
					t.Fatalf("%+v: next is before now", s.rate)
				} else if s.rate.unlimited() && next.After(now) {
					t.Fatalf("%+v limits", s.rate)
				}
				before := b.Next(s.rate, now)
				b.Take(s.rate, now)
				if b.Next(s.rate, now).Before(before) {
					t.Fatalf("%+v: taking one has brought the next one nearer", s.rate)
				}
			}
		}
	})
}
