package boltqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/postroad/postroad/queue"
)

// format is the version of every record in the file. A record is
//
//	version (1 octet) | fields | CRC-32C of key, version and fields (4 octets, big-endian)
//
// The key is part of the sum, so that an intact record in the wrong place is found out too. Later versions keep the frame.
const format = 1

const frame = 1 + crc32.Size

// seal appends a record with these fields to dst.
func seal(dst, key, fields []byte) []byte {
	start := len(dst)
	dst = append(dst, format)
	dst = append(dst, fields...)
	return binary.BigEndian.AppendUint32(dst, checksum(key, dst[start:]))
}

// unseal returns the fields of a record, which share its memory.
func unseal(key, record []byte) ([]byte, error) {
	if len(record) < frame {
		return nil, fmt.Errorf("%w: record of %d octets at %q", queue.ErrDamaged, len(record), key)
	}
	body, sum := record[:len(record)-crc32.Size], record[len(record)-crc32.Size:]
	if binary.BigEndian.Uint32(sum) != checksum(key, body) {
		return nil, fmt.Errorf("%w: wrong checksum at %q", queue.ErrDamaged, key)
	}
	if body[0] != format {
		return nil, fmt.Errorf("%w: record at %q has version %d, this package knows %d", queue.ErrVersion, key, body[0], format)
	}
	return body[1:], nil
}

func checksum(key, body []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // the same one each time, made once
	return crc32.Update(crc32.Checksum(key, table), table, body)
}

// messageRecord is what is stored once per message. Only its last three fields ever change.
type messageRecord struct {
	queue.Message
	Body       uint64    // names the body; see segmentKey. Zero if there is none
	Unfinished int       // jobs that are not finished
	Ended      time.Time // the latest Finished of its jobs
}

func (m *messageRecord) encode() []byte {
	e := newEncoder()
	e.string(m.From)
	e.string(m.Tenant)
	e.int(int64(m.Priority))
	e.uint(uint64(len(m.Labels)))
	for _, l := range m.Labels {
		e.string(l)
	}
	e.int(m.Size)
	e.b = append(e.b, m.Digest[:]...)
	e.time(m.Enqueued)
	e.time(m.Expires)
	e.bool(m.UTF8)
	e.bool(m.EightBit)
	e.string(string(m.Return))
	e.string(m.EnvelopeID)
	e.string(string(m.TLS))
	e.uint(m.Body)
	e.uint(uint64(m.Unfinished))
	e.time(m.Ended)
	return e.b
}

func decodeMessage(fields []byte) (*messageRecord, error) {
	d := decoder{b: fields}
	m := new(messageRecord)
	m.From = d.string()
	m.Tenant = d.string()
	m.Priority = queue.Priority(d.int(8))
	if n := d.count(queue.MaxLabels, 1); n > 0 {
		m.Labels = make([]string, n)
		for i := range m.Labels {
			m.Labels[i] = d.string()
		}
	}
	m.Size = d.int(64)
	copy(m.Digest[:], d.take(len(m.Digest)))
	m.Enqueued = d.time()
	m.Expires = d.time()
	m.UTF8 = d.bool()
	m.EightBit = d.bool()
	m.Return = queue.Return(d.string())
	m.EnvelopeID = d.string()
	m.TLS = queue.TLS(d.string())
	m.Body = d.uint(64)
	m.Unfinished = int(d.uint(31))
	m.Ended = d.time()
	return m, d.end("message")
}

// jobRecord is what a retry rewrites: a job without its message. Token is the one of its latest commit.
type jobRecord struct{ queue.Job }

func (j *jobRecord) encode() []byte {
	e := newEncoder()
	e.string(j.Domain)
	e.time(j.Due)
	e.time(j.Finished)
	e.int(int64(j.Tries))
	e.bool(j.Held)
	e.string(j.Via)
	e.int(int64(j.Lapses))
	e.uint(uint64(j.Token))
	e.uint(uint64(len(j.Recipients)))
	for i := range j.Recipients {
		e.recipient(&j.Recipients[i])
	}
	e.uint(uint64(len(j.Attempts)))
	for i := range j.Attempts {
		e.attempt(&j.Attempts[i])
	}
	return e.b
}

func decodeJob(fields []byte) (*jobRecord, error) {
	d := decoder{b: fields}
	j := new(jobRecord)
	j.Domain = d.string()
	j.Due = d.time()
	j.Finished = d.time()
	j.Tries = int(d.int(64))
	j.Held = d.bool()
	j.Via = d.string()
	j.Lapses = int(d.int(64))
	j.Token = queue.Token(d.uint(64))
	if n := d.count(queue.MaxRecipients, 14); n > 0 {
		j.Recipients = make([]queue.Recipient, n)
		for i := range j.Recipients {
			d.recipient(&j.Recipients[i])
		}
	}
	if n := d.count(queue.MaxAttempts, 11); n > 0 {
		j.Attempts = make([]queue.Attempt, n)
		for i := range j.Attempts {
			d.attempt(&j.Attempts[i])
		}
	}
	return j, d.end("job")
}

// The flags of recipients and attempts. Up to version 4 of the file there was the first one alone, a bool.
const (
	uncertain = 1 << iota
	named     // a Report, or a QueueID, follows at the end
	verified
	decided // a time follows at the end
)

func (e *encoder) recipient(r *queue.Recipient) {
	e.string(r.Address)
	e.string(r.From)
	e.uint(uint64(r.State))
	e.uint(bit(r.Uncertain, uncertain) | bit(r.Report != "", named) | bit(!r.Decided.IsZero(), decided))
	e.reply(&r.Reply)
	e.uint(uint64(r.Notify))
	e.string(r.Original)
	e.string(r.Reason)
	e.uint(uint64(r.Mark))
	if r.Report != "" {
		e.string(string(r.Report))
	}
	if !r.Decided.IsZero() {
		e.time(r.Decided)
	}
}

func (d *decoder) recipient(r *queue.Recipient) {
	r.Address = d.string()
	r.From = d.string()
	r.State = queue.State(d.uint(8))
	flags := d.uint(4)
	r.Uncertain = flags&uncertain != 0
	d.reply(&r.Reply)
	r.Notify = queue.Notify(d.uint(8))
	r.Original = d.string()
	r.Reason = d.string()
	r.Mark = queue.Mark(d.uint(64))
	if flags&named != 0 {
		r.Report = queue.ID(d.string())
	}
	if flags&decided != 0 {
		r.Decided = d.time()
	}
}

func (e *encoder) attempt(a *queue.Attempt) {
	e.time(a.Time)
	e.int(int64(a.Took))
	e.string(a.TLS)
	e.uint(bit(a.Uncertain, uncertain) | bit(a.QueueID != "", named) | bit(a.Verified, verified))
	e.reply(&a.Reply)
	if a.QueueID != "" {
		e.string(a.QueueID)
	}
}

func (d *decoder) attempt(a *queue.Attempt) {
	a.Time = d.time()
	a.Took = time.Duration(d.int(64))
	a.TLS = d.string()
	flags := d.uint(3)
	a.Uncertain, a.Verified = flags&uncertain != 0, flags&verified != 0
	d.reply(&a.Reply)
	if flags&named != 0 {
		a.QueueID = d.string()
	}
}

func bit(set bool, b uint64) uint64 {
	if set {
		return b
	}
	return 0
}

func (e *encoder) reply(r *queue.Reply) {
	e.string(r.Host)
	e.string(r.Addr)
	e.string(r.Phase)
	e.int(int64(r.Code))
	e.string(r.Enhanced)
	e.string(r.Text)
}

func (d *decoder) reply(r *queue.Reply) {
	r.Host = d.string()
	r.Addr = d.string()
	r.Phase = d.string()
	r.Code = int(d.int(64))
	r.Enhanced = d.string()
	r.Text = d.string()
}

// encoder appends fields: integers as varints, strings with their length before them, times as seconds and nanoseconds.
type encoder struct{ b []byte }

// newEncoder has room for most records.
func newEncoder() encoder { return encoder{make([]byte, 0, 384)} }

func (e *encoder) uint(v uint64)   { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)     { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) string(s string) { e.uint(uint64(len(s))); e.b = append(e.b, s...) }

func (e *encoder) bool(v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) time(t time.Time) {
	e.int(t.Unix())
	e.uint(uint64(t.Nanosecond()))
}

// decoder reads fields. After the first that can't be read all are zero, and end reports it.
type decoder struct {
	b   []byte
	bad bool
}

var errFields = errors.New("fields don't add up")

func (d *decoder) end(what string) error {
	if d.bad || len(d.b) > 0 {
		return fmt.Errorf("%w: %s: %w", queue.ErrDamaged, what, errFields)
	}
	return nil
}

func (d *decoder) fail() {
	d.bad = true
	d.b = nil
}

func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail()
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) uint(bits int) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || bits < 64 && v>>bits != 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int(bits int) int64 {
	v, n := binary.Varint(d.b)
	if limit := int64(1) << (bits - 1); n <= 0 || bits < 64 && (v < -limit || v >= limit) {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads how many elements follow, and believes it only if the limit and the octets left allow for so many of at
// least size octets, so that a damaged count can't make us allocate.
func (d *decoder) count(limit, size int) int {
	n := d.uint(31)
	if n > uint64(limit) || n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) string() string { return string(d.take(d.count(queue.MaxString, 1))) }

func (d *decoder) bool() bool { return d.uint(1) == 1 }

func (d *decoder) time() time.Time {
	sec, nsec := d.int(64), d.uint(30)
	if nsec >= 1e9 {
		d.fail()
	}
	if d.bad {
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec)).UTC()
}
