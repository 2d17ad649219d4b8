package main

import (
	"fmt"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/simulate"
)

// summary counts what happened.
type summary struct {
	start, last                        time.Time
	recipients, delivered, failed      int
	attempts, late                     int
	connections, refused, most, pauses int
}

func newSummary(start time.Time) *summary { return &summary{start: start, last: start} }

func (s *summary) add(at time.Time, e simulate.Event) {
	switch e := e.(type) {
	case delivery.Queued:
		s.recipients += len(e.To)
	case delivery.Attempted:
		s.attempts++
		if e.Outcome == delivery.OutcomeDelivered {
			s.delivered++
			s.last = at
		}
	case delivery.Bounced:
		s.failed += len(e.Recipients)
		s.last = at
	case delivery.Delayed:
		s.late++
	case simulate.Connected:
		s.connections++
		s.most = max(s.most, e.Open)
	case simulate.Refused:
		s.refused++
	case delivery.SitePaused:
		s.pauses++
	}
}

// String is in two lines.
func (s *summary) String() string {
	line := fmt.Sprintf("Of %s, %d delivered and %d failed", count(s.recipients, "recipient"), s.delivered, s.failed)
	if open := s.recipients - s.delivered - s.failed; open > 0 {
		line += fmt.Sprintf(", %d still wait", open)
	}
	line += fmt.Sprintf("; the last %s after the start. It took %s; %s.\n",
		short(s.last.Sub(s.start)), count(s.attempts, "attempt"), count(s.late, "warning"))
	return line + fmt.Sprintf("%s, no more than %d at once at a site; %d refused; %s.",
		count(s.connections, "connection"), s.most, s.refused, count(s.pauses, "pause"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
