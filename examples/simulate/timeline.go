package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/simulate"
	"github.com/postroad/postroad/queue"
)

// timeline tells of each event in a line: when, what, what was said, and what is next.
type timeline struct {
	out   io.Writer
	start time.Time
}

func (t *timeline) end() {}

func (t *timeline) add(at time.Time, e simulate.Event) {
	switch e := e.(type) {
	case delivery.Queued:
		t.tell(at, "queued", e.To[0]+others(len(e.To)-1), time.Time{})
	case delivery.Attempted:
		t.tell(at, string(e.Outcome), e.Recipient+": "+said(e.Reply), e.Due)
	case delivery.Delayed:
		t.tell(at, "delayed", "it has been queued for "+short(at.Sub(e.Message.Enqueued)), time.Time{})
	case delivery.Bounced:
		t.tell(at, "bounced", fmt.Sprintf("a report to %s about %s%s", e.Message.From, e.Recipients[0].Address, others(len(e.Recipients)-1)), time.Time{})
	case delivery.SitePaused:
		t.tell(at, "paused", fmt.Sprintf("%s: %s", e.Site, e.Why), e.Until)
	case simulate.PutBack:
		t.tell(at, "put back", e.Why, e.Due)
	case delivery.Trouble:
		t.tell(at, "trouble", e.Err.Error(), time.Time{})
	}
}

func (t *timeline) tell(at time.Time, what, more string, next time.Time) {
	line := fmt.Sprintf("%s  %-9s  %-9s  %s", day(t.start, at), offset(t.start, at), what, more)
	if !next.IsZero() {
		line = fmt.Sprintf("%-100s  until %s", line, strings.TrimSpace(day(t.start, next)))
	}
	fmt.Fprintln(t.out, line)
}

// day is the time of a day, and which day it is, unless that is the first.
func day(start, at time.Time) string {
	midnight := start.Truncate(24 * time.Hour)
	n := int(at.Sub(midnight) / (24 * time.Hour))
	if n == 0 {
		return "       " + at.Format("15:04:05")
	}
	return fmt.Sprintf("day %-2d %s", n+1, at.Format("15:04:05"))
}

func offset(start, at time.Time) string { return "+" + short(at.Sub(start)) }

// short is d without what is too small to matter in it.
func short(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d/time.Hour%24)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d/time.Minute%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d/time.Second%60)
	}
	return d.Round(100 * time.Millisecond).String()
}

func others(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d others", n)
}

// said is a reply on one line.
func said(r queue.Reply) string {
	if r.Code == 0 {
		return r.Phase + ": " + r.Text
	}
	return strings.Join(strings.Fields(fmt.Sprint(r.Code, " ", r.Enhanced, " ", r.Text)), " ")
}
