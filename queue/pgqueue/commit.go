package pgqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/postroad/postroad/queue"
)

// Commit implements [queue.Queue]. Without more it is one statement, which callers that are waiting share.
func (q *Queue) Commit(ctx context.Context, j *queue.Job, more ...*queue.Entry) error {
	if err := q.usable(ctx); err != nil {
		return err
	}
	if err := j.Check(); err != nil {
		return fmt.Errorf("pgqueue: %w", err)
	}
	if !j.Key.ID.Valid() {
		return fmt.Errorf("pgqueue: %w: there is no job %.100q", queue.ErrLeaseLost, j.Key)
	}
	q.fresh.forget(j.Key.ID)
	o, err := newOutcome(j)
	if err != nil {
		return err
	}
	if len(more) == 0 {
		err = q.outcomes.do(ctx, o)
	} else {
		err = q.commitWith(ctx, o, more)
	}
	if errors.Is(err, errNotOwner) {
		return q.spent(ctx, j)
	}
	return err
}

// commitWith stores a job and new messages in one transaction.
func (q *Queue) commitWith(ctx context.Context, o *outcome, more []*queue.Entry) (err error) {
	list := make([]*prepared, len(more))
	for i, e := range more {
		if list[i], err = q.prepare(ctx, e, ownDrafts{q}); err != nil {
			q.drop(list...)
			return err
		}
	}
	err = q.write(ctx, func(ctx context.Context, a *attempt) error {
		return a.transaction(ctx, func() error {
			if err := q.replace(ctx, q.own(a.conn), o); err != nil {
				return err
			}
			if !o.stored {
				return verdict{errNotOwner}
			}
			_, err := q.putAll(ctx, q.own(a.conn), list)
			return err
		})
	})
	switch {
	case err == nil:
		q.announce()
	case !errors.Is(err, queue.ErrInDoubt):
		q.drop(list...)
	}
	return err
}

// errNotOwner means that a token isn't that of the job's latest claim, or was spent.
var errNotOwner = errors.New("pgqueue: not the owner")

// commit stores a job by itself.
func (q *Queue) commit(ctx context.Context, o *outcome) error {
	err := q.commitTogether(ctx, []*outcome{o})
	if err == nil && !o.stored {
		return errNotOwner
	}
	return err
}

// commitTogether stores the jobs whose tokens are good.
func (q *Queue) commitTogether(ctx context.Context, list []*outcome) error {
	return q.write(ctx, func(ctx context.Context, a *attempt) error {
		a.handed = true
		return q.replace(ctx, q.own(a.conn), list...)
	})
}

func (q *Queue) replace(ctx context.Context, s session, list ...*outcome) error {
	rows := make([]outcomeRow, len(list))
	recipients := 0
	for i, o := range list {
		rows[i] = o.row
		rows[i].I, rows[i].Before = i, recipients
		recipients += o.recipients
		o.stored = false
	}
	arg, err := encodeRows(s, q.types.outcome, rows)
	if err != nil {
		return err
	}
	return s.each(ctx, q.statement(s, "commit"), []any{arg}, func(scan func(...any) error) error {
		var i int
		err := scan(&i)
		if err == nil {
			list[i].stored = true
		}
		return err
	})
}

// spent tells a repeated commit from one that is too late.
func (q *Queue) spent(ctx context.Context, j *queue.Job) error {
	var repeated *bool
	err := q.read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		_, err := one(ctx, q.own(c), q.sql["spent"], []any{string(j.Key.ID), int64(j.Key.N), int64(j.Token)}, &repeated)
		return err
	})
	if err != nil || repeated != nil && *repeated {
		return err
	}
	return fmt.Errorf("pgqueue: %w: %s", queue.ErrLeaseLost, j.Key)
}

// outcome is a job to be stored as it is now.
type outcome struct {
	row        outcomeRow
	recipients int
	stored     bool
}

type outcomeRow struct {
	I          int             `json:"i"`
	ID         queue.ID        `json:"id"`
	N          int             `json:"n"`
	Token      int64           `json:"token"`
	Due        *time.Time      `json:"due,omitempty"`
	Finished   *time.Time      `json:"finished,omitempty"`
	Held       bool            `json:"held"`
	Via        string          `json:"via"`
	Tries      int             `json:"tries"`
	Lapses     int             `json:"lapses"`
	Recipients []recipientJSON `json:"recipients"`
	Attempts   []attemptJSON   `json:"attempts"`
	Final      []bool          `json:"final,omitempty"` // for each recipient; nil for none
	Before     int             `json:"before"`          // how many marks the jobs before may take
}

func (o outcomeRow) record(a *array) error {
	a.integer(o.I)
	a.text(string(o.ID))
	a.bigint(int64(o.N))
	a.bigint(o.Token)
	a.timestamptz(o.Due)
	a.timestamptz(o.Finished)
	a.boolean(o.Held)
	a.text(o.Via)
	a.bigint(int64(o.Tries))
	a.bigint(int64(o.Lapses))
	err := errors.Join(a.jsonb(o.Recipients), a.jsonb(o.Attempts))
	a.booleans(o.Final)
	a.bigint(int64(o.Before))
	return err
}

func newOutcome(j *queue.Job) (*outcome, error) {
	if err := checkMoments(j.Due, j.Finished); err != nil {
		return nil, err
	}
	recipients, err := encodeRecipients(j.Recipients)
	if err != nil {
		return nil, err
	}
	attempts, err := encodeAttempts(j.Attempts)
	if err != nil {
		return nil, err
	}
	o := &outcome{recipients: len(j.Recipients), row: outcomeRow{
		ID: j.Key.ID, N: j.Key.N, Token: int64(j.Token), Due: moment(j.Due), Finished: moment(j.Finished), Held: j.Held, Via: j.Via,
		Tries: int(j.Tries), Lapses: int(j.Lapses), Recipients: recipients, Attempts: attempts,
	}}
	for i := range j.Recipients {
		if j.Recipients[i].State.Final() && o.row.Final == nil {
			o.row.Final = make([]bool, len(j.Recipients))
		}
		if o.row.Final != nil {
			o.row.Final[i] = j.Recipients[i].State.Final()
		}
	}
	return o, nil
}

// Bounds of the jobs that one statement stores.
const (
	sharedJobs       = 100
	sharedRecipients = 1000
)

// commitFit reports whether jobs may be stored together.
func commitFit(list []*outcome) bool {
	recipients := 0
	for _, o := range list {
		recipients += o.recipients
	}
	return len(list) <= sharedJobs && recipients <= sharedRecipients
}
