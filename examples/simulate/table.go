package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/simulate"
)

// rows is how many lines a table has at most, each for one of the steps.
const rows = 30

// steps are such that each is a multiple of the one before.
func steps() []time.Duration {
	return []time.Duration{
		time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute,
		30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 24 * time.Hour, 10 * 24 * time.Hour, 1000 * 24 * time.Hour,
	}
}

// table tells of a campaign: how many of what happened in each while, and each pause.
type table struct {
	out   io.Writer
	start time.Time
	step  int // whose time a row is
	rows  []row
	open  map[string]int // connections, by site
	total int
}

// row is what happened in a while.
type row struct {
	queued, delivered, deferred, failed, refused, most int
	notes                                              []string
	used                                               bool
}

func newTable(out io.Writer, start time.Time) *table {
	return &table{out: out, start: start, open: make(map[string]int)}
}

func (t *table) add(at time.Time, e simulate.Event) {
	for at.Sub(t.start) >= rows*steps()[t.step] && t.step < len(steps())-1 {
		t.widen()
	}
	i := int(at.Sub(t.start) / steps()[t.step])
	for len(t.rows) <= i {
		t.rows = append(t.rows, row{most: t.total})
	}
	t.rows[i].add(e)
	switch e := e.(type) {
	case simulate.Connected:
		t.count(&t.rows[i], e.Site, e.Open)
	case simulate.Disconnected:
		t.count(&t.rows[i], e.Site, e.Open)
	case delivery.SitePaused:
		t.rows[i].note(fmt.Sprintf("%s paused until %s: %s", e.Site, strings.TrimSpace(day(t.start, e.Until)), e.Why))
	case delivery.Trouble:
		t.rows[i].note("trouble: " + e.Err.Error())
	}
}

func (r *row) add(e simulate.Event) {
	switch e := e.(type) {
	case delivery.Queued:
		r.queued++
	case delivery.Attempted:
		switch e.Outcome {
		case delivery.OutcomeDelivered:
			r.delivered++
		case delivery.OutcomeDeferred, delivery.OutcomeUncertain:
			r.deferred++
		}
	case delivery.Bounced:
		r.failed += len(e.Recipients)
	case simulate.Refused:
		r.refused++
	case simulate.Disconnected, delivery.SitePaused, delivery.Trouble:
	default:
		return
	}
	r.used = true
}

// maxNotes is how many pauses are told of in each while.
const maxNotes = 4

func (r *row) note(s string) { r.notes = append(r.notes, s) }

func (t *table) count(r *row, site string, open int) {
	t.total += open - t.open[site]
	t.open[site] = open
	r.most = max(r.most, t.total)
}

// widen makes rows of the next step.
func (t *table) widen() {
	n := int(steps()[t.step+1] / steps()[t.step])
	t.step++
	var wide []row
	for i := 0; i < len(t.rows); i += n {
		r := t.rows[i]
		for _, o := range t.rows[i+1 : min(i+n, len(t.rows))] {
			r.queued += o.queued
			r.delivered += o.delivered
			r.deferred += o.deferred
			r.failed += o.failed
			r.refused += o.refused
			r.most = max(r.most, o.most)
			r.notes = append(r.notes, o.notes...)
			r.used = r.used || o.used
		}
		wide = append(wide, r)
	}
	t.rows = wide
}

func (t *table) end() {
	fmt.Fprintf(t.out, "%15s  %-9s %8s %9s %8s %7s %11s %8s\n", "", "", "queued", "delivered", "deferred", "failed", "connections", "refused")
	for i, r := range t.rows {
		if !r.used {
			continue
		}
		at := t.start.Add(time.Duration(i) * steps()[t.step])
		fmt.Fprintf(t.out, "%s  %-9s %8d %9d %8d %7d %11d %8d\n",
			day(t.start, at), offset(t.start, at), r.queued, r.delivered, r.deferred, r.failed, r.most, r.refused)
		for n, note := range r.notes {
			if n == maxNotes {
				fmt.Fprintf(t.out, "%28s and %d more pauses\n", "", len(r.notes)-n)
				break
			}
			fmt.Fprintf(t.out, "%28s %s\n", "", note)
		}
	}
}
