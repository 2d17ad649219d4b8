package boltqueue

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/postroad/postroad/queue"
)

// Salvaged counts what [Salvage] has found.
type Salvaged struct {
	Messages int // that the new file has
	Jobs     int // that the new file has
	Held     int // jobs among these that are held, since what was found of them may be out of date
	Cut      int // messages among these that have unfinished jobs and no whole body: they expire, and their senders are told
	Notes    int // that the new file has
	Lost     int // messages and jobs of which something was found, but not enough
}

// Salvage makes a new queue, in a new file at the path to, of what can be read in the damaged one at from, which nobody has
// open and which isn't changed. Each record proves itself by its checksum, so that what a damaged page has cut off
// is found by looking at all pages, and indexes are made anew. It calls report with what is wrong, as [Check] does, and
// with what is lost.
//
// If the file was closed in order, it is known which of the cut off pages are current. If not, or if nothing is left of a
// job but an earlier state of it, it is held: it may have been delivered since. The host program looks at it, and frees or
// withdraws it.
func Salvage(from, to string, report func(problem string)) (found Salvaged, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("boltqueue: %w", err)
		}
	}()
	s, err := openSurvey(from, report)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return found, err
	}
	if err := f.Close(); err != nil {
		return found, err
	}
	q, err := Open(to, Options{})
	if err != nil {
		return found, err
	}
	v := &salvage{
		survey:   s,
		q:        q,
		messages: map[queue.ID]*messageRecord{},
		current:  map[queue.ID]bool{},
		jobs:     map[queue.Key]finding{},
		notes:    map[string]location{},
		chunks:   map[uint64][]foundChunk{},
	}
	v.read()
	v.readStrays()
	if err := errors.Join(v.write(), q.Close()); err != nil {
		return found, errors.Join(err, os.Remove(to))
	}
	return v.Salvaged, nil
}

// salvage is one call of Salvage: what was found in the old file, and the new one.
type salvage struct {
	*survey
	Salvaged
	q        *Queue
	told     func(problem string)
	opened   uint64
	messages map[queue.ID]*messageRecord
	current  map[queue.ID]bool // messages that stand where they belong
	jobs     map[queue.Key]finding
	notes    map[string]location
	segments bodies
	chunks   map[uint64][]foundChunk // of bodies that aren't whole where they belong, from anywhere
}

// finding is where a job stands, and what tells its states apart.
type finding struct {
	location
	token queue.Token
	stray bool // it doesn't stand where it belongs
	stale bool // and it may be a state from before
}

// read finds what stands where it belongs.
func (v *salvage) read() {
	each := func(bucket string, read func(key []byte, at location) error) {
		v.each(bucket, func(key []byte, at location) {
			if err := read(key, at); err != nil {
				v.problem(bucket, err)
			}
		})
	}
	each(fileBucket, func(key []byte, at location) error {
		fields, err := v.record(key, at)
		if string(key) == openedKey && err == nil {
			d := decoder{b: fields}
			v.opened = d.uint(64 - epochBits)
		}
		return err
	})
	each(messagesBucket, func(key []byte, at location) error {
		m, err := v.message(key, at)
		if err == nil {
			v.messages[m.ID], v.current[m.ID] = m, true
		}
		return err
	})
	each(jobsBucket, func(key []byte, at location) error {
		j, err := v.job(key, at)
		if err == nil {
			v.jobs[j.Key] = finding{location: at, token: j.Token}
		}
		return err
	})
	each(notesBucket, func(key []byte, at location) error {
		_, err := v.record(key, at)
		if err == nil {
			v.notes[string(key)] = at
		}
		return err
	})
	v.segments = v.bodies()
}

// readStrays looks for what is missing in pages that nothing leads to, if anything is. Of what was found where it belongs
// nothing is replaced.
func (v *salvage) readStrays() {
	lost := func(bucket string) bool { return v.root == 0 || v.damaged[""] || v.damaged[bucket] }
	if lost(messagesBucket) || lost(jobsBucket) || lost(notesBucket) {
		v.strays(func(key []byte, at location, stale bool) {
			switch j, m := v.strayRecord(key, at); {
			case j != nil && lost(jobsBucket):
				v.addJob(j, finding{at, j.Token, true, stale})
			case m != nil && lost(messagesBucket):
				if old := v.messages[m.ID]; old == nil || !v.current[m.ID] && old.Body == 0 {
					v.messages[m.ID] = m
				}
			case j == nil && m == nil && lost(notesBucket) && !stale:
				v.addNote(key, at)
			}
		})
	}
	for id, m := range v.messages {
		if m.Body == 0 {
			continue
		}
		all := v.survey.chunks(v.segments[m.Body])
		if size := v.measure(m.Body, all); size != m.Size {
			v.problem(bodiesBucket, damaged("the body of %q has %d octets that can be read, not %d", id, size, m.Size))
			v.chunks[m.Body] = all
		}
	}
	if len(v.chunks) == 0 {
		return
	}
	v.strays(func(key []byte, at location, _ bool) { // a body never changes, so none of its chunks is out of date
		body, err := parseNumberKey(key[:min(8, len(key))])
		if _, ok := v.chunks[body]; !ok || err != nil || len(key) != 14 {
			return
		}
		if _, err := v.record(key, at); err == nil {
			v.chunks[body] = append(v.chunks[body], foundChunk{bytes.Clone(key), at})
		}
	})
}

// strayRecord returns the job or the message that a record is, if it is one.
func (v *salvage) strayRecord(key []byte, at location) (*jobRecord, *messageRecord) {
	if j, err := v.job(key, at); err == nil {
		return j, nil
	}
	if m, err := v.message(key, at); err == nil && m.ID.Valid() {
		return nil, m
	}
	return nil, nil
}

// addJob takes a job that doesn't stand where it belongs: the latest state of it that there is.
func (v *salvage) addJob(j *jobRecord, f finding) {
	if m := v.messages[j.Key.ID]; m != nil && v.current[j.Key.ID] && m.Unfinished == 0 && j.Finished.IsZero() {
		return // a state from before
	}
	old, ok := v.jobs[j.Key]
	if !ok || old.stray && (f.token > old.token || f.token == old.token && old.stale) {
		v.jobs[j.Key] = f
	}
}

// addNote takes a record that is neither a job nor a message, unless it is something else that isn't a note.
func (v *salvage) addNote(key []byte, at location) {
	fields, err := v.record(key, at)
	if _, ok := v.notes[string(key)]; ok || err != nil || len(fields) == 0 {
		return
	}
	_, isKey := parseJobKey(key)
	_, isMark := parseJobKey(fields)
	switch string(key) {
	case versionKey, openedKey, closedKey:
	default:
		if isKey != nil && isMark != nil && len(key) != 14 {
			v.notes[string(key)] = at
		}
	}
}
