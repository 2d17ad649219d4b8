package pgqueue

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/postroad/postroad/queue"
)

// scanJob reads a job from columns, and what follows them into more.
func scanJob(scan func(...any) error, more ...any) (*queue.Job, error) {
	j := &queue.Job{}
	m := &j.Message
	var due, finished, leased, enqueued, expires *time.Time
	var recipients, attempts, labels, digest []byte
	var marks []int64
	var token int64
	var priority int16
	err := scan(append([]any{
		&j.Key.ID, &j.Key.N, &j.Domain, &due, &finished, &j.Held, &j.Via, &j.Tries, &j.Lapses, &recipients, &marks, &attempts, &leased,
		&token, &digest, &m.From, &m.Tenant, &priority, &labels, &m.Size, &enqueued, &expires, &m.UTF8, &m.EightBit,
		(*string)(&m.Return), &m.EnvelopeID, (*string)(&m.TLS),
	}, more...)...)
	if err != nil {
		return nil, err
	}
	j.Due, j.Finished, j.Leased, m.Enqueued, m.Expires = at(due), at(finished), at(leased), at(enqueued), at(expires)
	j.Token, m.ID, m.Priority = queue.Token(token), j.Key.ID, queue.Priority(priority)
	copy(m.Digest[:], digest)
	if len(labels) > len("[]") {
		err = json.Unmarshal(labels, &m.Labels)
	}
	if err == nil {
		j.Recipients, err = decodeRecipients(recipients, marks)
	}
	if err == nil {
		j.Attempts, err = decodeAttempts(attempts)
	}
	if err != nil {
		return nil, fmt.Errorf("pgqueue: %w: job %s: %w", queue.ErrDamaged, j.Key, err)
	}
	return j, nil
}

func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// scanJobs reads all rows.
func scanJobs(rows pgx.Rows) (jobs []*queue.Job, err error) {
	defer rows.Close()
	for rows.Next() {
		j, err := scanJob(rows.Scan)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, rows.Err()
}
