package retry

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	day := 24 * time.Hour
	// The formula min(cap, base·2^(n−1))·(1+U[0,jitter]), with a first wait of its own and 10 attempts.
	formula := Backoff{First: 30 * time.Second, Base: time.Minute, Cap: day, Jitter: Percent{100, 125}, MaxAttempts: 10}
	exact := Backoff{Jitter: NoJitter()}
	tests := []struct {
		name      string
		policy    Backoff
		n         int
		low, high time.Duration // both 0: gives up
	}{
		{"zero value", Backoff{}, 1, 48 * time.Second, 72 * time.Second},
		{"zero value doubles", Backoff{}, 2, 96 * time.Second, 144 * time.Second},
		{"zero value at its cap", Backoff{}, 9, 192 * time.Minute, 288 * time.Minute},
		{"zero value never gives up", Backoff{}, 1_000_000, 192 * time.Minute, 288 * time.Minute},
		{"exact 0th", exact, 0, time.Minute, time.Minute},
		{"exact 1st", exact, 1, time.Minute, time.Minute},
		{"exact 8th", exact, 8, 128 * time.Minute, 128 * time.Minute},
		{"exact 9th", exact, 9, 4 * time.Hour, 4 * time.Hour},
		{"formula 1st", formula, 1, 30 * time.Second, 30 * time.Second},
		{"formula 2nd", formula, 2, 2 * time.Minute, 150 * time.Second},
		{"formula 3rd", formula, 3, 4 * time.Minute, 5 * time.Minute},
		{"formula 9th", formula, 9, 256 * time.Minute, 320 * time.Minute},
		{"formula 10th", formula, 10, 0, 0},
		{"formula at its cap", Backoff{Base: time.Minute, Cap: day, Jitter: Percent{100, 125}}, 12, day, 30 * time.Hour},
		{"base above the cap", Backoff{Base: 5 * time.Hour, Jitter: NoJitter()}, 1, 4 * time.Hour, 4 * time.Hour},
		{"longest", Backoff{Base: math.MaxInt64, Cap: math.MaxInt64}, 1, math.MaxInt64 / 5 * 4, math.MaxInt64},
		{"widest", Backoff{Base: math.MaxInt64, Cap: math.MaxInt64, Jitter: Percent{-5, math.MaxInt}}, 1, 0, math.MaxInt64},
		{"reversed jitter", Backoff{Jitter: Percent{100, 50}}, 1, time.Minute, time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			middle, ok := tt.policy.Next(Attempt{N: tt.n})
			if giveUp := tt.high == 0; ok == giveUp {
				t.Fatalf("ok = %v", ok)
			}
			if want := tt.low + (tt.high-tt.low)/2; middle.Round(time.Microsecond) != want.Round(time.Microsecond) {
				t.Errorf("without randomness %v, want %v", middle, want)
			}
			random := rand.New(rand.NewPCG(1, 2))
			for range 1000 {
				wait, _ := tt.policy.Next(Attempt{N: tt.n, Rand: random})
				if wait < tt.low || wait > tt.high {
					t.Fatalf("%v is outside %v to %v", wait, tt.low, tt.high)
				}
			}
		})
	}
}

// Both halves of the range are drawn from, and its ends are part of it.
func TestJitterIsEven(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	seen := map[time.Duration]int{}
	for range 3000 {
		wait, _ := Backoff{Base: 10, Jitter: Percent{90, 110}}.Next(Attempt{N: 1, Rand: random})
		seen[wait]++
	}
	if len(seen) != 3 || seen[9] < 800 || seen[10] < 800 || seen[11] < 800 {
		t.Errorf("9, 10 and 11 ns drawn unevenly: %v", seen)
	}
}

func TestBackoffIsMonotoneAndBounded(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		b := Backoff{
			Base:   time.Duration(random.Int64N(1 << random.IntN(63))),
			Cap:    time.Duration(random.Int64N(1 << random.IntN(63))),
			Jitter: Percent{random.IntN(200), random.IntN(400)},
		}
		last := time.Duration(0)
		for n := 1; n <= 1_000_000; n += 1 + n/8 {
			wait, ok := b.Next(Attempt{N: n})
			if !ok || wait < last {
				t.Fatalf("%+v: wait %d is %v, %v after %v", b, n, wait, ok, last)
			}
			last = wait
			if w, _ := b.Next(Attempt{N: n, Rand: random}); w < 0 {
				t.Fatalf("%+v: wait %d is %v", b, n, w)
			}
		}
	}
}

func TestSchedule(t *testing.T) {
	s := Schedule{time.Minute, 5 * time.Minute, 30 * time.Minute}
	for n, want := range map[int]time.Duration{0: s[0], 1: s[0], 2: s[1], 3: s[2], 4: s[2], 1_000_000: s[2]} {
		if got, ok := s.Next(Attempt{N: n, Rand: rand.New(rand.NewPCG(1, 1))}); !ok || got != want {
			t.Errorf("attempt %d: %v, %v, want %v", n, got, ok, want)
		}
	}
	got, ok := Schedule(nil).Next(Attempt{N: 3})
	if want, _ := (Backoff{}).Next(Attempt{N: 3}); !ok || got != want {
		t.Errorf("empty: %v, %v, want %v", got, ok, want)
	}
}
