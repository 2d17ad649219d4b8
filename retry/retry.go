// Package retry says when to try again, when to give up, and what a server's answer means.
//
// Everything here is a pure function of its arguments: no clock is read and no randomness is drawn but what the caller hands
// in, so that days of retries can be computed in a loop.
//
//   - A [Policy] turns an [Attempt] into a wait: [Backoff] grows, [Schedule] is a list, [PolicyFunc] is anything else.
//   - [Classify] turns a [Reply] into a [Verdict]: what becomes of whom, and what of the connection.
//   - [Hint] finds "try again in 5 minutes" in the text of a reply.
package retry

import (
	"math/rand/v2"
	"time"
)

// Attempt is what a policy knows when it is asked.
type Attempt struct {
	N        int       // attempts made so far, the last one included: 1 or more
	Enqueued time.Time // when the message was taken
	Now      time.Time
	Expires  time.Time // when the message is given up, whatever the policy says
	Code     int       // of the answer that ended the last attempt; 0 if there was none
	Enhanced string    // its RFC 3463 code such as "4.7.1", or ""
	// Rand is where jitter comes from. Nil means no randomness: the middle of the range.
	Rand *rand.Rand
}

// Policy says how long to wait before the next attempt. Next may be called by several goroutines at once, though never with
// the same Attempt.Rand.
type Policy interface {
	// Next returns the time from a.Now to the next attempt, or ok false to give up now. It need not look at a.Expires:
	// a message that expires is given up then, however long the wait.
	Next(a Attempt) (wait time.Duration, ok bool)
}

// PolicyFunc makes a Policy of a function.
type PolicyFunc func(Attempt) (time.Duration, bool)

// Next calls f.
func (f PolicyFunc) Next(a Attempt) (time.Duration, bool) { return f(a) }

// Schedule is a policy of explicit waits: its n-th element follows the n-th attempt, and the last one is repeated. The waits
// are exact, without jitter, and it never gives up by itself. An empty Schedule is Backoff{}.
type Schedule []time.Duration

// Next returns the wait for a.N.
func (s Schedule) Next(a Attempt) (time.Duration, bool) {
	if len(s) == 0 {
		return Backoff{}.Next(a)
	}
	return s[min(max(a.N, 1), len(s))-1], true
}
