package pgqueue

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/postroad/postroad/queue"
)

type takeJSON struct {
	I     int    `json:"i"`
	Lane  laneID `json:"lane"`
	Retry bool   `json:"retry"`
	N     int    `json:"n"`
}

type keyJSON struct {
	I  int      `json:"i"`
	ID queue.ID `json:"id"`
	N  int      `json:"n"`
}

// Claim implements [queue.Queue]. It is one round trip: a statement that leases, and one that looks ahead.
func (q *Queue) Claim(ctx context.Context, r queue.ClaimRequest) (queue.Claimed, error) {
	if err := q.usable(ctx); err != nil {
		return queue.Claimed{}, err
	}
	if r.Lease <= 0 {
		return queue.Claimed{}, fmt.Errorf("pgqueue: %w: Lease is %v, not positive", queue.ErrInvalid, r.Lease)
	}
	if err := checkMoments(r.Now, r.Now.Add(r.Lease)); err != nil {
		return queue.Claimed{}, err
	}
	tokens, err := q.draw(ctx, max(0, min(r.Limit, drawAtOnce)))
	if err != nil {
		return queue.Claimed{}, err
	}
	b := &pgx.Batch{}
	if err := q.ask(b, &r, tokens); err != nil {
		return queue.Claimed{}, err
	}
	var c queue.Claimed
	var lost bool
	err = q.write(ctx, func(ctx context.Context, a *attempt) error {
		c = queue.Claimed{}
		read := []func(pgx.Rows) error{func(rows pgx.Rows) (err error) {
			c.Jobs, err = scanJobs(rows)
			return err
		}}
		if len(r.Keys) == 0 {
			read = append(read, func(rows pgx.Rows) error { return lookAhead(rows, &c, r.Take) })
		}
		err := q.own(a.conn).batch(ctx, b, read...)
		lost = err != nil && unclear(err)
		return err
	})
	if lost {
		q.untold.add(tokens, time.Now())
	}
	if err != nil {
		return queue.Claimed{}, err
	}
	q.putBack(tokens[min(len(c.Jobs), len(tokens)):])
	q.fresh.lend(c.Jobs)
	q.purgeSometimes()
	return c, nil
}

// ask puts the statements for r into b. The first jobs get the tokens.
func (q *Queue) ask(b *pgx.Batch, r *queue.ClaimRequest, tokens []int64) error {
	limit := max(0, min(r.Limit, math.MaxInt32))
	now, until := r.Now.UTC(), r.Now.UTC().Add(r.Lease)
	if len(r.Keys) > 0 {
		keys := make([]keyJSON, 0, len(r.Keys))
		for i, k := range r.Keys {
			if k.ID.Valid() {
				keys = append(keys, keyJSON{i, k.ID, k.N})
			}
		}
		list, err := json.Marshal(keys)
		b.Queue(q.sql["claim_keys"], now, until, limit, r.Holder, string(list), tokens)
		return err
	}
	if r.Take == nil {
		b.Queue(q.sql["claim"], now, until, limit, r.Holder, r.Expired, nil, tokens)
		b.Queue(q.sql["next_any"], r.Expired)
		return nil
	}
	take := make([]takeJSON, len(r.Take))
	for i, t := range r.Take {
		take[i] = takeJSON{i + 1, newLaneID(t.Lane.Domain, t.Lane.Tenant, t.Lane.Priority), t.Lane.Retry, max(0, min(t.N, math.MaxInt32))}
	}
	list, err := json.Marshal(take)
	b.Queue(q.sql["claim"], now, until, limit, r.Holder, r.Expired, string(list), tokens)
	b.Queue(q.sql["next"], r.Expired, string(list))
	return err
}

// lookAhead reads when there is more to claim: in row 0 because of expiry, or in any lane, else in a lane.
func lookAhead(rows pgx.Rows, c *queue.Claimed, take []queue.Take) error {
	if take != nil {
		c.Lanes = make([]time.Time, len(take))
	}
	for rows.Next() {
		var i int
		var moment *time.Time
		if err := rows.Scan(&i, &moment); err != nil {
			return err
		}
		if moment == nil {
			continue
		}
		if i > 0 {
			c.Lanes[i-1] = at(moment)
		}
		if c.Next.IsZero() || moment.Before(c.Next) {
			c.Next = at(moment)
		}
	}
	return rows.Err()
}
