package boltqueue

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// write stores what was found in the new file.
func (v *salvage) write() error {
	v.told, v.report = v.report, func(string) {} // what is wrong was told when it was read
	jobs := map[queue.ID][]queue.Key{}
	for k := range v.jobs {
		jobs[k.ID] = append(jobs[k.ID], k)
		if v.messages[k.ID] == nil {
			v.lose(1, "the job %q, whose message is lost", k)
		}
	}
	b := &batch{q: v.q}
	for _, id := range slices.Sorted(maps.Keys(v.messages)) {
		keys := jobs[id]
		slices.SortFunc(keys, queue.Key.Compare)
		if err := v.writeMessage(b, v.messages[id], keys); err != nil {
			return err
		}
	}
	for key, at := range v.notes {
		value, err := v.value(at)
		if err == nil {
			err = b.add(len(value), func(t *tx) error { return t.notes().Put([]byte(key), value) })
		}
		if err != nil {
			return err
		}
		v.Notes++
	}
	return cmp.Or(b.add(0, v.writeNumbers), b.flush())
}

// lose reports that something is lost.
func (v *salvage) lose(n int, format string, args ...any) {
	v.Lost += n
	v.told(damaged("lost: "+format, args...).Error())
}

// writeMessage stores a message with its jobs, and its body if that is needed still.
func (v *salvage) writeMessage(b *batch, m *messageRecord, keys []queue.Key) error {
	known := m.Unfinished
	m.Unfinished = 0
	var jobs []*jobRecord
	for _, k := range keys {
		f := v.jobs[k]
		j, err := v.job(jobKey(k), f.location)
		if err != nil {
			return err
		}
		j.Message = m.Message
		if f.stale && j.Finished.IsZero() && !j.Held {
			j.Held = true
			v.Held++
		}
		v.opened = max(v.opened, uint64(j.Token)>>epochBits)
		m.count(&j.Job)
		jobs = append(jobs, j)
	}
	if missing := known - m.Unfinished; v.current[m.ID] && missing > 0 {
		v.lose(missing, "%d unfinished jobs of the message %q", missing, m.ID)
	}
	if len(jobs) == 0 {
		if !v.current[m.ID] || known == 0 {
			v.lose(1, "the message %q, of which no job is left", m.ID)
		}
		return nil
	}
	v.Messages++
	v.Jobs += len(jobs)
	if m.Unfinished > 0 && m.Size > 0 {
		if err := v.writeBody(b, m); err != nil {
			return err
		}
	}
	return b.add(1024*len(jobs), func(t *tx) error {
		for _, j := range jobs {
			if err := t.putJob(nil, j, j.rows()); err != nil {
				return err
			}
		}
		if m.Unfinished == 0 {
			m.Body = 0
			if err := t.finish(m); err != nil {
				return err
			}
		}
		return t.putMessage(m)
	})
}

// writeBody copies the chunks of a body, as far as there are.
func (v *salvage) writeBody(b *batch, m *messageRecord) error {
	all, ok := v.chunks[m.Body]
	if !ok {
		all = v.survey.chunks(v.segments[m.Body])
	}
	all = v.distinct(all)
	if m.Body == 0 || v.measure(m.Body, all) != m.Size {
		v.Cut++
		v.lose(0, "the body of %q", m.ID)
	}
	for _, c := range all {
		value, err := v.value(c.location)
		if err != nil {
			return err
		}
		err = b.add(len(value), func(t *tx) error {
			segment, err := t.bodies().CreateBucketIfNotExists(c.key[:len(c.key)-1])
			if err != nil {
				return err
			}
			return segment.Put(c.key, value)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// distinct returns the chunks that can be read, in order and each once.
func (v *salvage) distinct(all []foundChunk) []foundChunk {
	all = slices.DeleteFunc(slices.Clone(all), func(c foundChunk) bool {
		_, err := v.record(c.key, c.location)
		return err != nil || len(c.key) != 14
	})
	slices.SortStableFunc(all, func(a, b foundChunk) int { return bytes.Compare(a.key, b.key) })
	return slices.CompactFunc(all, func(a, b foundChunk) bool { return bytes.Equal(a.key, b.key) })
}

// writeNumbers makes sure that tokens, marks and names of bodies go on behind those that were given out, and counts messages.
func (v *salvage) writeNumbers(t *tx) error {
	return cmp.Or(t.restoreMarks(), putNumber(t.file(), openedKey, v.opened+1), countUnfinished(t.file().Tx()))
}

// batch gathers changes of the new file into transactions of a bounded size.
type batch struct {
	q       *Queue
	changes []func(*tx) error
	size    int
}

func (b *batch) add(size int, change func(*tx) error) error {
	b.changes = append(b.changes, change)
	if b.size += size + 256; b.size < bulkSize {
		return nil
	}
	return b.flush()
}

func (b *batch) flush() error {
	defer func() { b.changes, b.size = nil, 0 }()
	return b.q.update(func(x *bolt.Tx) error {
		t, err := newTx(x)
		for _, change := range b.changes {
			if err == nil {
				err = change(t)
			}
		}
		return err
	})
}
