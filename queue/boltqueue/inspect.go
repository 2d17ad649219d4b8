package boltqueue

import (
	"errors"
	"fmt"

	"github.com/postroad/postroad/queue"
)

// Check reads all of the queue in the file at path, which nobody has open, and calls report with each thing that is wrong with
// it: pages and records that can't be read, entries that an index lacks or has too many, bodies that aren't whole. It
// changes nothing, and takes memory in proportion to the number of jobs.
//
// The error says why the file could not be checked: it can't be opened, another process uses it ([queue.ErrLocked]), or it was
// written by a later version of this package ([queue.ErrVersion]).
func Check(path string, report func(problem string)) (err error) {
	s, err := openSurvey(path, report)
	if err != nil {
		return fmt.Errorf("boltqueue: %w", err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	c := &inspection{survey: s, messages: map[queue.ID]*messageRecord{}, unfinished: map[queue.ID]int{}, want: map[string]bool{}}
	c.readMessages()
	c.readJobs()
	indexes, others := []string{expiryBucket, marksBucket, finishedBucket}, []string{fileBucket, notesBucket, claimedBucket}
	if c.has(oldLanesBucket) { // Open has yet to make of it what it will be
		others = append(others, oldLanesBucket)
	} else {
		indexes = append(indexes, lanesBucket)
	}
	for _, name := range indexes {
		c.readIndex(name)
	}
	for key := range c.want {
		c.wrong("", "an index has no entry %q", key)
	}
	c.readBodies()
	for _, name := range others {
		c.each(name, func(key []byte, at location) { c.readable(name, key, at) })
	}
	c.checkCount()
	return nil
}

// inspection compares what the parts of a queue say of each other.
type inspection struct {
	*survey
	messages   map[queue.ID]*messageRecord
	unfinished map[queue.ID]int // jobs that were found
	want       map[string]bool  // entries of indexes that are not found yet: the bucket and the key
}

func (c *inspection) wrong(bucket, format string, args ...any) {
	c.problem(bucket, damaged(format, args...))
}

// readable reports whether a record can be read.
func (c *inspection) readable(bucket string, key []byte, at location) bool {
	_, err := c.record(key, at)
	if err != nil {
		c.problem(bucket, err)
	}
	return err == nil
}

// checkCount checks the number of unfinished messages that the file keeps.
func (c *inspection) checkCount() {
	n := uint64(0)
	for _, m := range c.messages {
		if m.Unfinished > 0 {
			n++
		}
	}
	if has, ok := c.number(unfinishedKey); ok && has != n {
		c.wrong(fileBucket, "%d messages are unfinished, the file says %d", n, has)
	}
}

// version returns that of the file.
func (c *inspection) version() uint64 {
	if n, ok := c.number(versionKey); ok {
		return n
	}
	return 1
}

// number reads a number of the file's own, if it is there and can be read.
func (c *inspection) number(name string) (n uint64, ok bool) {
	c.each(fileBucket, func(key []byte, at location) {
		if string(key) != name {
			return
		}
		fields, err := c.record(key, at)
		d := decoder{b: fields}
		n, ok = d.uint(63), err == nil
	})
	return n, ok
}

// readMessages reads all messages without what a check has no use for.
func (c *inspection) readMessages() {
	c.each(messagesBucket, func(key []byte, at location) {
		m, err := c.message(key, at)
		if err != nil {
			c.problem(messagesBucket, err)
			return
		}
		if m.Unfinished == 0 {
			c.want[finishedBucket+"\x00"+string(finishedKey(m.Ended, m.ID))] = true
		}
		m.Labels = nil
		c.messages[m.ID] = m
	})
}

// message reads the record of a message.
func (s *survey) message(key []byte, at location) (*messageRecord, error) {
	fields, err := s.record(key, at)
	if err != nil {
		return nil, err
	}
	m, err := decodeMessage(fields)
	if err == nil {
		m.ID = queue.ID(key)
	}
	return m, err
}

// job reads the record of a job.
func (s *survey) job(key []byte, at location) (*jobRecord, error) {
	k, err := parseJobKey(key)
	if err != nil {
		return nil, err
	}
	v, err := s.value(at)
	if err != nil {
		return nil, err
	}
	return readJob(k, key, v)
}

// readJobs reads all jobs, and notes what the indexes must have.
func (c *inspection) readJobs() {
	old := c.version() < 5 // Open has yet to enter the other places
	c.each(jobsBucket, func(key []byte, at location) {
		j, err := c.job(key, at)
		if err != nil {
			c.problem(jobsBucket, err)
			return
		}
		if j.Finished.IsZero() {
			c.unfinished[j.Key.ID]++
		}
		m := c.messages[j.Key.ID]
		if m == nil {
			c.wrong(jobsBucket, "the job %q has no message", j.Key)
			return
		}
		j.Message = m.Message
		if k := laneKey(j); k != nil && !c.has(oldLanesBucket) {
			c.want[lanesBucket+"\x00"+string(k)] = true
		}
		if k := expiryKey(j); k != nil {
			c.want[expiryBucket+"\x00"+string(k)] = true
		}
		for _, m := range j.Places() {
			if m == j.Mark() || !old {
				c.want[marksBucket+"\x00"+string(numberKey(uint64(m)))] = true
			}
		}
	})
	for id, m := range c.messages {
		if m.Unfinished != c.unfinished[id] {
			c.wrong(jobsBucket, "the message %q has %d unfinished jobs, its record says %d", id, c.unfinished[id], m.Unfinished)
		}
	}
}

// readIndex compares an index with what it must have.
func (c *inspection) readIndex(name string) {
	c.each(name, func(key []byte, at location) {
		if !c.readable(name, key, at) {
			return
		}
		k := name + "\x00" + string(key)
		if !c.want[k] {
			c.wrong(name, "has an entry %q that belongs to no job", key)
		}
		delete(c.want, k)
	})
}

// readBodies reads the bodies of unfinished messages and looks for others.
func (c *inspection) readBodies() {
	owned := map[uint64]bool{}
	c.each(draftsBucket, func(key []byte, at location) {
		if n, err := parseNumberKey(key); err == nil && c.readable(draftsBucket, key, at) {
			owned[n] = true
		}
	})
	found := c.bodies()
	for id, m := range c.messages {
		if m.Body == 0 {
			continue
		}
		owned[m.Body] = true
		if size := c.measure(m.Body, c.chunks(found[m.Body])); size != m.Size {
			c.wrong(bodiesBucket, "the body of %q has %d octets that can be read, not %d", id, size, m.Size)
		}
	}
	for n := range found {
		if !owned[n] {
			c.wrong(bodiesBucket, "has a body %d that belongs to no message", n)
		}
	}
}
