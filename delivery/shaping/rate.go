package shaping

import (
	"math"
	"math/bits"
	"time"
)

// Rate is N per Per, evenly, with up to Burst at once after as long a rest. The zero Rate is no limit.
type Rate struct {
	N   int
	Per time.Duration
	// Burst defaults to 1: no two at once.
	Burst int
}

// unlimited reports whether r, which may be nonsense, limits nothing.
func (r Rate) unlimited() bool { return r.N <= 0 || r.Per <= 0 }

// interval is the time that one counts for, rounded up so that N take no less than Per; 0 if r is no limit.
func (r Rate) interval() time.Duration {
	if r.unlimited() {
		return 0
	}
	return (r.Per-1)/time.Duration(r.N) + 1
}

// tolerance is how much earlier than evenly one may come.
func (r Rate) tolerance() time.Duration {
	return scale(r.interval(), uint64(max(r.Burst, 1)-1), 1)
}

// slower reports whether r allows less than o in the long run.
func (r Rate) slower(o Rate) bool { return r.interval() > o.interval() }

// check returns an error that names the field that makes no sense.
func (r Rate) check() error {
	switch {
	case r == Rate{}:
		return nil
	case r.N <= 0:
		return within("N", problem("is not positive"))
	case r.Per <= 0:
		return within("Per", problem("is not positive"))
	case r.Burst < 0:
		return within("Burst", problem("is negative"))
	}
	return nil
}

// Bucket is the state of one [Rate], by the generic cell rate algorithm: how far what was counted reaches into the future.
// That is kept relative to when the Bucket was last asked, not as a point in time, so that a clock that is set back stops
// nothing, and measured in intervals of the rate, so that a changed rate holds at once, for what was counted before too.
//
// The zero Bucket is full: Burst may go at once. A Bucket is used by one goroutine at a time.
type Bucket struct {
	asked    time.Time
	debt     time.Duration // evenly spaced, the next one would come so long after asked
	interval time.Duration // which debt is counted in
}

// Next returns the earliest moment at which one more conforms to r: now, or later.
func (b *Bucket) Next(r Rate, now time.Time) time.Time {
	b.advance(r, now)
	return now.Add(max(0, b.debt-r.tolerance()))
}

// Take counts one, whether it conforms or not: what was taken too early makes the next one wait for longer.
func (b *Bucket) Take(r Rate, now time.Time) {
	b.advance(r, now)
	b.debt += min(b.interval, math.MaxInt64-b.debt)
}

// Full reports whether the Bucket is as good as a zero one at now, so that it can be forgotten.
func (b *Bucket) Full(r Rate, now time.Time) bool {
	b.advance(r, now)
	return b.debt == 0
}

// advance brings b to now and to the interval of r.
func (b *Bucket) advance(r Rate, now time.Time) {
	if passed := now.Sub(b.asked); passed > 0 {
		b.debt = max(0, b.debt-passed)
	}
	b.asked = now
	if interval := r.interval(); interval != b.interval {
		if b.debt > 0 { // then b.interval isn't 0
			b.debt = scale(b.debt, uint64(interval), uint64(b.interval))
		}
		b.interval = interval
	}
}

// scale returns d·n/m, as far as a Duration holds that. d is not negative and m not 0.
func scale(d time.Duration, n, m uint64) time.Duration {
	high, low := bits.Mul64(uint64(d), n)
	if high >= m {
		return math.MaxInt64
	}
	quotient, _ := bits.Div64(high, low, m)
	return time.Duration(min(quotient, math.MaxInt64))
}
