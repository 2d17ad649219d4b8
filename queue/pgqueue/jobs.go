package pgqueue

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/postroad/postroad/queue"
)

// pageSize is how many jobs are read at once. Nothing is open while the loop body runs.
const pageSize = 256

// Jobs implements [queue.Queue]. A listing by ID, Heads or Ended is served by an index; with other fields alone it looks at every
// job, a second or two for a million. The package's documentation says which indexes an operator may add.
func (q *Queue) Jobs(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
	return func(yield func(*queue.Job, error) bool) {
		if err := q.usable(ctx); err != nil {
			yield(nil, err)
			return
		}
		if !storable(&f) {
			return
		}
		p := pager{Queue: q, f: f, left: f.Limit}
		next := p.byKey
		switch {
		case f.Heads:
			next = p.heads
		case f.Ended:
			next = p.ended
		}
		for more := true; more; {
			var page []*queue.Job
			var err error
			if page, more, err = next(ctx); err != nil {
				yield(nil, err)
				return
			}
			for _, j := range page {
				j.Token = 0
				if !yield(j, nil) {
					return
				}
				if p.left--; p.left == 0 { // else there is no limit, or it is not reached
					return
				}
			}
		}
	}
}

// storable reports whether there can be anything that f selects: text that the database can't hold is in no job.
func storable(f *queue.Filter) bool {
	for _, s := range []string{string(f.ID), f.Domain, f.Tenant, f.Sender, f.Recipient, f.Label, string(f.After.ID)} {
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			return false
		}
	}
	return true
}

// pager reads a listing in pages. Each of its methods returns the next page, and whether there may be another.
type pager struct {
	*Queue
	f    queue.Filter
	left int // below 1: no limit
	// Where the page before has ended, of Heads.
	lane  string
	retry bool

	waited time.Duration // for what has ended to settle
}

// size is how many jobs to read for the next page.
func (p *pager) size() int {
	if p.left > 0 {
		return min(p.left, pageSize)
	}
	return pageSize
}

func (p *pager) byKey(ctx context.Context) (page []*queue.Job, more bool, err error) {
	size := p.size()
	sql, args := p.where(size)
	err = p.Queue.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		page, err = scanJobs(rows)
		return err
	})
	if len(page) > 0 {
		p.f.After = page[len(page)-1].Key
	}
	return page, len(page) == size, err
}

// where is the statement for a page by key. It names only what is asked for, so that the planner knows what it needn't look at.
func (p *pager) where(size int) (sql string, args []any) {
	var b strings.Builder
	b.WriteString("SELECT " + columns + " FROM postroad.jobs j JOIN postroad.messages m ON m.id = j.id WHERE (j.id, j.n) > ($1::text, $2::bigint)")
	args = []any{string(p.f.After.ID), int64(p.f.After.N)}
	add := func(condition string, value any) {
		args = append(args, value)
		fmt.Fprintf(&b, " AND "+condition, len(args))
	}
	text := func(condition, value string) {
		if value != "" {
			add(condition, value)
		}
	}
	contains := func(condition string, value any) {
		list, _ := json.Marshal(value) // strings can't fail
		add(condition, string(list))
	}
	text("j.id = $%d::text", string(p.f.ID))
	text("j.domain = $%d::text", p.f.Domain)
	text("j.tenant = $%d::text", p.f.Tenant)
	text("m.sender = $%d::text", p.f.Sender)
	if p.f.Label != "" {
		contains("m.labels @> $%d::jsonb", []string{p.f.Label})
	}
	if p.f.Recipient != "" {
		contains("j.recipients @> $%d::jsonb", []map[string]string{{"address": p.f.Recipient}})
	}
	if p.f.Unfinished {
		b.WriteString(" AND j.finished IS NULL")
	}
	fmt.Fprintf(&b, " ORDER BY j.id, j.n LIMIT %d", size)
	return in(p.schema, b.String()), args
}

// heads reads the heads of some lanes, and keeps those that match.
func (p *pager) heads(ctx context.Context) (page []*queue.Job, more bool, err error) {
	if p.lane == "" {
		p.lane = "00000000-0000-0000-0000-000000000000" // comes before all, but for a lane with this very hash
	}
	read := 0
	var lane string
	var retry bool
	err = p.Queue.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		page, read = nil, 0
		return p.own(c).each(ctx, p.sql["heads"], []any{p.lane, p.retry, pageSize}, func(scan func(...any) error) error {
			read++
			j, err := scanJob(scan, &lane)
			if err != nil {
				return err
			}
			if retry = j.Tries > 0; p.f.Match(j) {
				page = append(page, j)
			}
			return nil
		})
	})
	p.lane, p.retry = lane, retry
	return page, read == pageSize, err
}

// What has been committed but can't be listed yet, because an older transaction is still running, is waited for: no longer than
// settleLimit, since that transaction may be anybody's.
const (
	settleFirst = 2 * time.Millisecond
	settleLimit = 250 * time.Millisecond
)

func (p *pager) ended(ctx context.Context) (page []*queue.Job, more bool, err error) {
	page, read, err := p.settled(ctx)
	if err != nil || read == pageSize || p.waited >= settleLimit {
		return page, err == nil && read == pageSize, err
	}
	err = p.Queue.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, p.sql["more_ended"], p.since()).Scan(&more)
	})
	if more {
		wait := max(settleFirst, p.waited)
		p.waited += wait
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	return page, more, err
}

func (p *pager) since() int64 { return int64(min(p.f.Since, math.MaxInt64)) }

// settled reads what has ended, and keeps what matches.
func (p *pager) settled(ctx context.Context) (page []*queue.Job, read int, err error) {
	since := p.since()
	err = p.Queue.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		page, read = nil, 0
		return p.own(c).each(ctx, p.sql["ended"], []any{p.since(), pageSize}, func(scan func(...any) error) error {
			read++
			j, err := scanJob(scan, &since)
			if err != nil {
				return err
			}
			if j = j.At(queue.Mark(since)); p.f.Match(j) {
				page = append(page, j)
			}
			return nil
		})
	})
	if err == nil {
		p.f.Since = queue.Mark(since)
	}
	return page, read, err
}
