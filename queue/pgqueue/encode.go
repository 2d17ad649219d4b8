package pgqueue

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/postroad/postroad/queue"
)

// messageRow is a message that is given to the server to store.
type messageRow struct {
	I          int            `json:"i"`
	ID         queue.ID       `json:"id"`
	Digest     hexBytes       `json:"digest"`
	Sender     string         `json:"sender"`
	Tenant     string         `json:"tenant"`
	Priority   queue.Priority `json:"priority"`
	Labels     []string       `json:"labels"` // not null
	Size       int64          `json:"size"`
	Enqueued   *time.Time     `json:"enqueued,omitempty"`
	Expires    *time.Time     `json:"expires"`
	UTF8       bool           `json:"utf8"`
	EightBit   bool           `json:"eight_bit"`
	Return     queue.Return   `json:"ret"`
	Envelope   string         `json:"envelope"`
	TLS        queue.TLS      `json:"tls"`
	Unfinished int            `json:"unfinished"`
	Ended      *time.Time     `json:"ended,omitempty"`
	Draft      *int64         `json:"draft,omitempty"`
	At         int            `json:"at"`     // where in the octets of the statement its own are
	Length     int            `json:"length"` // how many
}

func (m messageRow) record(a *array) error {
	a.integer(m.I)
	a.text(string(m.ID))
	a.bytea(m.Digest[:])
	a.text(m.Sender)
	a.text(m.Tenant)
	a.smallint(int16(m.Priority))
	err := a.jsonb(m.Labels)
	a.bigint(m.Size)
	a.timestamptz(m.Enqueued)
	a.timestamptz(m.Expires)
	a.boolean(m.UTF8)
	a.boolean(m.EightBit)
	a.text(string(m.Return))
	a.text(m.Envelope)
	a.text(string(m.TLS))
	a.integer(m.Unfinished)
	a.timestamptz(m.Ended)
	if m.Draft == nil {
		a.null(pgtype.Int8OID)
	} else {
		a.bigint(*m.Draft)
	}
	a.integer(m.At)
	a.integer(m.Length)
	return err
}

// jobRow is a job of a message that is given to the server to store.
type jobRow struct {
	I          int             `json:"i"` // of its message
	N          int             `json:"n"`
	Lane       laneID          `json:"lane"`
	Domain     string          `json:"domain"`
	Due        *time.Time      `json:"due,omitempty"`
	Finished   *time.Time      `json:"finished,omitempty"`
	Held       bool            `json:"held"`
	Via        string          `json:"via"`
	Tries      int             `json:"tries"`
	Recipients []recipientJSON `json:"recipients"`
	Attempts   []attemptJSON   `json:"attempts"`
	Marks      []int           `json:"marks,omitempty"` // counted from 1 within the statement
	*leaseRow                  // nil: there is none
}

type leaseRow struct {
	Leased *time.Time `json:"leased"`
	Holder string     `json:"holder"`
	Token  int64      `json:"token"`
}

func (j jobRow) record(a *array) error {
	a.integer(j.I)
	a.integer(j.N)
	a.uuid(j.Lane)
	a.text(j.Domain)
	a.timestamptz(j.Due)
	a.timestamptz(j.Finished)
	a.boolean(j.Held)
	a.text(j.Via)
	a.bigint(int64(j.Tries))
	err := errors.Join(a.jsonb(j.Recipients), a.jsonb(j.Attempts))
	a.bigints(j.Marks)
	if j.leaseRow == nil {
		a.null(pgtype.TimestamptzOID)
		a.null(pgtype.TextOID)
		a.null(pgtype.Int8OID)
		return err
	}
	a.timestamptz(j.Leased)
	a.text(j.Holder)
	a.bigint(j.Token)
	return err
}

type recipientJSON struct {
	Address   string       `json:"address"`
	State     string       `json:"state"`
	Decided   time.Time    `json:"decided,omitzero"`
	From      string       `json:"from,omitempty"`
	Uncertain bool         `json:"uncertain,omitempty"`
	Reply     *replyJSON   `json:"reply,omitempty"`
	Notify    queue.Notify `json:"notify,omitempty"`
	Original  string       `json:"original,omitempty"`
	Reason    string       `json:"reason,omitempty"`
	Report    queue.ID     `json:"report,omitempty"`
}

type replyJSON struct {
	Host     string `json:"host,omitempty"`
	Addr     string `json:"addr,omitempty"`
	Phase    string `json:"phase,omitempty"`
	Code     int    `json:"code,omitempty"`
	Enhanced string `json:"enhanced,omitempty"`
	Text     string `json:"text,omitempty"`
}

type attemptJSON struct {
	Time      time.Time  `json:"time"`
	Took      int64      `json:"took"` // microseconds
	TLS       string     `json:"tls,omitempty"`
	Verified  bool       `json:"verified,omitempty"`
	QueueID   string     `json:"queue_id,omitempty"`
	Uncertain bool       `json:"uncertain,omitempty"`
	Reply     *replyJSON `json:"reply,omitempty"`
}

// moment is t as the database keeps it: to the microsecond, and null for zero.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = kept(t)
	return &t
}

func kept(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// checkMoments refuses times that PostgreSQL can't keep, or JSON can't write.
func checkMoments(list ...time.Time) error {
	for _, t := range list {
		if y := t.UTC().Year(); y < 1 || y > 9999 {
			return fmt.Errorf("pgqueue: %w: a time in the year %d", queue.ErrInvalid, y)
		}
	}
	return nil
}

// hexBytes are octets as the server reads them in JSON.
type hexBytes [32]byte

// MarshalText implements [encoding.TextMarshaler].
func (b hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode([]byte(`\x`), b[:]), nil }

// laneID is the lane of a job but for whether it was tried, as a UUID.
type laneID [16]byte

func newLaneID(domain, tenant string, priority queue.Priority) laneID {
	h := sha256.New()
	fmt.Fprintf(h, "%d\x00%s\x00%s", priority, tenant, domain) // none has a NUL
	return laneID(h.Sum(nil))
}

// MarshalText implements [encoding.TextMarshaler].
func (l laneID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, l[:]), nil }

func parseState(name string) (s queue.State, err error) {
	for s = queue.Pending; s <= queue.Withdrawn; s++ {
		if s.String() == name {
			return s, nil
		}
	}
	_, err = fmt.Sscanf(name, "State(%d)", &s)
	return s, err
}

func encodeReply(r *queue.Reply) *replyJSON {
	if *r == (queue.Reply{}) {
		return nil
	}
	j := replyJSON(*r)
	return &j
}

func (r *replyJSON) decode() queue.Reply {
	if r == nil {
		return queue.Reply{}
	}
	return queue.Reply(*r)
}

func encodeRecipients(list []queue.Recipient) ([]recipientJSON, error) {
	out := make([]recipientJSON, len(list))
	for i := range list {
		r := &list[i]
		if err := checkMoments(r.Decided); err != nil {
			return nil, err
		}
		out[i] = recipientJSON{
			Address: r.Address, State: r.State.String(), Decided: kept(r.Decided), From: r.From, Uncertain: r.Uncertain, Reply: encodeReply(&r.Reply),
			Notify: r.Notify, Original: r.Original, Reason: r.Reason, Report: r.Report,
		}
	}
	return out, nil
}

func decodeRecipients(b []byte, marks []int64) ([]queue.Recipient, error) {
	var list []recipientJSON
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, err
	}
	out := make([]queue.Recipient, len(list))
	for i := range list {
		r := &list[i]
		s, err := parseState(r.State)
		if err != nil {
			return nil, err
		}
		if err := checkMoments(r.Decided); err != nil {
			return nil, err
		}
		out[i] = queue.Recipient{
			Address: r.Address, State: s, Decided: kept(r.Decided), From: r.From, Uncertain: r.Uncertain, Reply: r.Reply.decode(),
			Notify: r.Notify, Original: r.Original, Reason: r.Reason, Report: r.Report,
		}
		if i < len(marks) {
			out[i].Mark = queue.Mark(marks[i])
		}
	}
	return out, nil
}

func encodeAttempts(list []queue.Attempt) ([]attemptJSON, error) {
	out := make([]attemptJSON, len(list))
	for i := range list {
		a := &list[i]
		if err := checkMoments(a.Time); err != nil {
			return nil, err
		}
		out[i] = attemptJSON{
			Time: kept(a.Time), Took: a.Took.Microseconds(), TLS: a.TLS, Verified: a.Verified, QueueID: a.QueueID,
			Uncertain: a.Uncertain, Reply: encodeReply(&a.Reply),
		}
	}
	return out, nil
}

func decodeAttempts(b []byte) ([]queue.Attempt, error) {
	if len(b) <= len("[]") {
		return nil, nil
	}
	var list []attemptJSON
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, err
	}
	out := make([]queue.Attempt, len(list))
	for i := range list {
		a := &list[i]
		out[i] = queue.Attempt{
			Time: a.Time, Took: time.Duration(a.Took) * time.Microsecond, TLS: a.TLS, Verified: a.Verified, QueueID: a.QueueID,
			Uncertain: a.Uncertain, Reply: a.Reply.decode(),
		}
	}
	return out, nil
}
