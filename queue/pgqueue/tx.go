package pgqueue

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
	"github.com/postroad/postroad/queue"
)

// EnqueueTx stores the message of e in the host program's own transaction: it is queued if that commits, and else it is not,
// with whatever else the transaction has changed. The promises are those of Enqueue, from the commit on. tx is of the database
// that the queue is in, through any pool.
//
// [queue.ErrConflict], and what is found before the database is asked, leave the transaction as it was; after another error
// PostgreSQL lets it only be rolled back. The body is read while the transaction is open, so it should be at hand.
func (q *Queue) EnqueueTx(ctx context.Context, tx pgx.Tx, e *queue.Entry) (added bool, err error) {
	return q.enqueueIn(ctx, pgxSession{tx}, e)
}

// EnqueueSQLTx is EnqueueTx for a transaction of database/sql, by whichever driver for PostgreSQL.
func (q *Queue) EnqueueSQLTx(ctx context.Context, tx *sql.Tx, e *queue.Entry) (added bool, err error) {
	return q.enqueueIn(ctx, sqlSession{tx}, e)
}

func (q *Queue) enqueueIn(ctx context.Context, s session, e *queue.Entry) (added bool, err error) {
	if err := q.usable(ctx); err != nil {
		return false, err
	}
	p, err := q.prepare(ctx, e, txDrafts{draftsIn{q, s}})
	if err != nil {
		return false, err
	}
	stored, err := q.put(ctx, s, p)
	if err != nil {
		return false, explain(ctx, err, false)
	}
	if len(stored) == 0 {
		if p.message.Draft != nil {
			if _, err := one(ctx, s, q.sql["drop"], []any{*p.message.Draft}); err != nil {
				return false, explain(ctx, err, false)
			}
		}
		return false, explain(ctx, q.known(ctx, s, p), false)
	}
	return true, explain(ctx, q.announceIn(ctx, s), false)
}

// txDrafts are written in a transaction of the host program.
type txDrafts struct{ draftsIn }

func (d txDrafts) begin(ctx context.Context) (body int64, err error) {
	body, err = d.draftsIn.begin(ctx)
	return body, explain(ctx, err, false)
}

func (d txDrafts) write(ctx context.Context, body int64, piece int, octets []byte) error {
	return explain(ctx, d.draftsIn.write(ctx, body, piece, octets), false)
}
