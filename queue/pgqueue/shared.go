package pgqueue

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/bits"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postroad/postroad/queue"
)

// Now implements [queue.Shared]: it is the database's clock. What is due, leased or expired is judged by the Now of each request,
// so all who share the queue take it from here, and their machines may differ by any amount.
func (q *Queue) Now(ctx context.Context) (now time.Time, err error) {
	err = q.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
	})
	return now.UTC(), err
}

// holder is one of those who share the queue.
type holder struct {
	name string
	want map[string]queue.Slots
	have map[string]int
}

// turnTime is how long who gets what can't be divided has it.
const turnTime = 5 * time.Minute

// Beat implements [queue.Shared]. Beats come one at a time, by a lock that lasts as long as each transaction.
func (q *Queue) Beat(ctx context.Context, name string, ttl time.Duration, want map[string]queue.Slots) (have map[string]int, err error) {
	if want == nil {
		want = map[string]queue.Slots{}
	}
	wanted, err := json.Marshal(want)
	if err != nil {
		return nil, fmt.Errorf("pgqueue: %w", err)
	}
	err = q.write(ctx, func(ctx context.Context, a *attempt) error {
		return a.transaction(ctx, func() error {
			var now time.Time
			if err := a.conn.QueryRow(ctx, "SELECT clock_timestamp() FROM pg_advisory_xact_lock(hashtextextended($1::text, 1))", "postroad "+q.schema).Scan(&now); err != nil {
				return err
			}
			if _, err := one(ctx, q.own(a.conn), q.sql["free"], []any{name}); err != nil {
				return err
			}
			if err := q.endUntold(ctx, q.own(a.conn)); err != nil {
				return err
			}
			others, err := q.holders(ctx, a.conn, name)
			if err != nil {
				return err
			}
			have = shares(holder{name: name, want: want}, others, now.Truncate(turnTime).Unix())
			b, err := json.Marshal(have)
			if err != nil {
				return err
			}
			_, err = a.conn.Exec(ctx, q.sql["beat"], name, ttl.Seconds(), string(wanted), string(b))
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return have, nil
}

// holders are those who share the queue with one.
func (q *Queue) holders(ctx context.Context, c *pgx.Conn, but string) (list []holder, err error) {
	err = pgxSession{c}.each(ctx, q.sql["holders"], []any{but}, func(scan func(...any) error) error {
		var h holder
		var want, have []byte
		err := scan(&h.name, &want, &have)
		if err == nil {
			err = json.Unmarshal(want, &h.want)
		}
		if err == nil {
			err = json.Unmarshal(have, &h.have)
		}
		list = append(list, h)
		return err
	})
	return list, err
}

// shares says what h may have now. Each holder of a site has a part of its own, and gets it when the others have come down
// to theirs: together they never have more than the one of them that wants most.
func shares(h holder, others []holder, turn int64) map[string]int {
	have := make(map[string]int, len(h.want))
	for site := range h.want {
		want := h.want[site].Want
		if want <= 0 {
			continue
		}
		all := []holder{h}
		most, taken := want, 0
		for _, o := range others {
			if o.want[site].Want > 0 {
				all = append(all, o)
				most = max(most, o.want[site].Want)
			}
			taken += max(o.have[site], o.want[site].Used)
		}
		have[site] = max(0, min(part(h.name, site, all, most, turn), most-taken))
	}
	return have
}

// part divides a site's slots evenly. Who wants less than its part leaves the rest to the others; of what can't be divided some have
// one more, who are others in each turn and at each site.
func part(name, site string, all []holder, slots int, turn int64) int {
	place := func(h *holder) uint64 {
		f := fnv.New64a()
		fmt.Fprintf(f, "%d %q %q", turn, site, h.name)
		return bits.RotateLeft64(f.Sum64()*0x9e3779b97f4a7c15, 32) // the last octets make little difference before
	}
	slices.SortFunc(all, func(a, b holder) int {
		return cmp.Or(cmp.Compare(a.want[site].Want, b.want[site].Want), cmp.Compare(place(&a), place(&b)), cmp.Compare(a.name, b.name))
	})
	for i, h := range all {
		left := len(all) - i
		mine := min(h.want[site].Want, (slots+left-1)/left)
		if h.name == name {
			return mine
		}
		slots -= mine
	}
	return 0
}
