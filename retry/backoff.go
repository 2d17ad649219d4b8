package retry

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"time"
)

// Backoff is a policy of growing waits. After the n-th attempt it waits
//
//	min(Cap, Base·2^(n−1)) · U[Jitter.Min, Jitter.Max]%
//
// where U is drawn evenly. The zero value waits 1 minute first, which is what greylisting wants, doubles up to 4 hours, spreads
// by ±20 %, and leaves giving up to the message's expiry.
type Backoff struct {
	// First, if not 0, is the wait after the first attempt, exactly, in place of the formula.
	First time.Duration
	// Base is the wait after the first attempt before jitter, and what is doubled from there. Defaults to 1 minute.
	Base time.Duration
	// Cap is the longest wait before jitter. Defaults to 4 hours.
	Cap time.Duration
	// Jitter spreads the waits, so that what failed together doesn't come back together. Defaults to [DefaultJitter];
	// [NoJitter] switches it off.
	Jitter Percent
	// MaxAttempts, if not 0, gives up after so many attempts. Defaults to 0: no limit.
	MaxAttempts int
}

// Percent is a range of percentages, both ends included: {100, 125} is the whole and up to a quarter more. A negative Min
// counts as 0, and a Max below Min as Min.
type Percent struct {
	Min, Max int
}

const (
	defaultBase = time.Minute
	defaultCap  = 4 * time.Hour
)

// DefaultJitter returns ±20 %, what Backoff uses for a zero Jitter.
func DefaultJitter() Percent { return Percent{80, 120} }

// NoJitter returns the range that leaves every wait as it is.
func NoJitter() Percent { return Percent{100, 100} }

// Next returns the wait for a.N.
func (b Backoff) Next(a Attempt) (time.Duration, bool) {
	if b.MaxAttempts > 0 && a.N >= b.MaxAttempts {
		return 0, false
	}
	if a.N <= 1 && b.First > 0 {
		return b.First, true
	}
	jitter := b.Jitter
	if jitter == (Percent{}) {
		jitter = DefaultJitter()
	}
	return jitter.of(b.grow(a.N), a.Rand), true
}

// grow returns min(Cap, Base·2^(n−1)), in integers.
func (b Backoff) grow(n int) time.Duration {
	base, limit := b.Base, b.Cap
	if base <= 0 {
		base = defaultBase
	}
	if limit <= 0 {
		limit = defaultCap
	}
	shift := max(n, 1) - 1
	// limit>>shift is limit/2^shift rounded down; what is above it would pass the limit when doubled shift times.
	if shift >= 63 || base > limit>>shift {
		return limit
	}
	return base << shift
}

// of returns a duration drawn evenly from d·Min% to d·Max%, or the middle of that range if random is nil.
func (p Percent) of(d time.Duration, random *rand.Rand) time.Duration {
	low := percent(d, max(p.Min, 0))
	high := max(low, percent(d, max(p.Max, 0)))
	width := int64(high - low)
	switch {
	case random == nil:
		return low + time.Duration(width/2)
	case width == math.MaxInt64:
		return time.Duration(random.Int64())
	}
	return low + time.Duration(random.Int64N(width+1))
}

// percent returns d·p/100, rounded down to the nanosecond and no more than a Duration holds. d and p are not negative.
func percent(d time.Duration, p int) time.Duration {
	high, low := bits.Mul64(uint64(d), uint64(p))
	if high >= 100 {
		return math.MaxInt64
	}
	quotient, _ := bits.Div64(high, low, 100)
	return time.Duration(min(quotient, math.MaxInt64))
}
