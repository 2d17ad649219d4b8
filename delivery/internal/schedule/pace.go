package schedule

import "time"

// pace is how long a site's connection takes for a message, in the mean of the last ones that found it open; zero: not known.
type pace time.Duration

const (
	// A job is leased as it is stored, which is cheaper than a claim, if a connection that is busy has time for it within
	// soonDone, or is to have it next. What waits in hand is out of the reach of other processes, so that it isn't to be more.
	soonDone = 30 * time.Millisecond
	// maxAhead bounds the jobs that so wait for each connection.
	maxAhead = 8
	// steady is how many messages the mean is of, about.
	steady = 8
)

// note takes account of another message.
func (p *pace) note(took time.Duration) {
	if *p == 0 {
		*p = pace(took)
	}
	*p += (pace(took) - *p) / steady
}

// ahead is how many jobs may wait for a busy connection.
func (p pace) ahead() int {
	if p <= 0 {
		return 1
	}
	return int(min(max(soonDone/time.Duration(p), 1), maxAhead))
}
