package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/queue"
)

// A message that ends the process whenever it is sent must not do so for ever, and no mail beside it may suffer.
//
// A queue counts a lapse for all that a process had leased when it died, begun or not: nothing says which job it was. So a job
// of two lapses is a suspect, and a Sender has one suspect in its hands at a time. That it has is noted in the queue before it
// begins, and no more when the attempt has ended. The others are given back at once. So a further death counts against one suspect
// alone, and after three of these it is held.
//
//	         two deaths               three more, each with this suspect in hand
//	a job ---------------> suspect ---------------------------------------------> held
//	  ^                       |
//	  +-----------------------+
//	    an attempt that ends
//
// In a queue that keeps no notes its lapses stand for that: a death in the moment between a claim and what is given back of it
// counts as well there.

const (
	suspectLapses = 2 // in a row make a suspect
	maxDeaths     = 3 // of a process that had it in hand

	// suspectWait is how long a suspect is given back for, at the least.
	suspectWait = 5 * time.Second
	// suspectPace is about the time between two that come back: few enough, however many wait for one that takes its time, and soon
	// one when that has ended. In which order is drawn by lot: if the process is killed again and again, for whatever reason, it
	// shall not be the same one each time that was in its hands.
	suspectPace = 50 * time.Millisecond
	// suspectLine is how long they may come to wait by that. If they are more, two come at a time.
	suspectLine = 5 * time.Minute

	suspectPrefix = "delivery/suspect/"
)

// suspects is the one that a Run has in its hands, and how many it has given back.
type suspects struct {
	mu     sync.Mutex // guards what follows
	inHand queue.Key  // zero: none
	back   time.Time  // when all have come back that were given back
}

// take takes a suspect in hand, until it is dropped, unless there is one already.
func (s *suspects) take(k queue.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inHand != (queue.Key{}) {
		return false
	}
	s.inHand = k
	return true
}

func (s *suspects) has(k queue.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inHand == k
}

func (s *suspects) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inHand = queue.Key{}
}

// wait is for how long to give back the next one.
func (s *suspects) wait() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	line := s.back.Sub(now) + suspectPace
	if line < suspectWait || line > suspectLine {
		line = suspectWait
	}
	s.back = now.Add(line)
	return suspectWait + rand.N(line)
}

// sift returns the claimed jobs that may begin. Suspects that have to wait have been given back by then. Expired jobs stay:
// nothing keeps them from their end.
func (r *run) sift(jobs []*queue.Job) []*queue.Job {
	now, kept, lapsed := r.now(), jobs[:0], 0
	var suspect *queue.Job
	var others sync.WaitGroup
	for _, j := range jobs {
		lapsed += min(j.Lapses, 1)
		switch {
		case j.Lapses < suspectLapses, !j.Message.Expires.After(now):
			kept = append(kept, j)
		case r.suspects.take(j.Key):
			suspect = j
		default:
			others.Go(func() { r.putOff(j) })
		}
	}
	others.Wait()
	if suspect != nil && r.beginSuspect(suspect) {
		kept = append(kept, suspect)
	}
	r.counters.add(countLapsed, lapsed)
	clear(jobs[len(kept):])
	return kept
}

// beginSuspect notes that the suspect in hand may end the process from now on. It reports false if that has happened too often,
// or can't be noted: then the job has been held or given back.
func (r *run) beginSuspect(j *queue.Job) bool {
	ctx, cancel := context.WithTimeout(r.last, claimLimit)
	defer cancel()
	deaths, err := r.deathsOf(ctx, j)
	if err == nil && deaths < maxDeaths {
		err = r.noteDeaths(ctx, j.Key, deaths+1)
		if err == nil {
			return true
		}
	}
	r.suspects.drop()
	if err == nil {
		r.beside.Go(func() { r.holdSuspect(j) })
		return false
	}
	r.trouble(j.Key, err)
	r.putOff(j)
	return false
}

// endSuspect has the next suspect follow j, if that was the one in hand. It was committed unless there is an error, of which nobody
// knows what it means.
func (r *run) endSuspect(j *queue.Job, err error) {
	if !r.suspects.has(j.Key) {
		return
	}
	if err == nil {
		deaths := 0
		if j.Lapses > 0 { // it was given back
			deaths, err = r.deathsOf(r.last, j)
			deaths-- // the one that hasn't come
		}
		if err == nil {
			err = r.noteDeaths(r.last, j.Key, deaths)
		}
		if err != nil {
			r.trouble(j.Key, err)
		}
	}
	r.suspects.drop()
}

// deathsOf is how often a process has died that had the suspect in hand.
func (r *run) deathsOf(ctx context.Context, j *queue.Job) (deaths int, err error) {
	n, err := r.notes()
	if err != nil {
		return j.Lapses - suspectLapses, nil
	}
	var value []byte
	err = guard(func() (err error) { value, err = n.Get(ctx, suspectPrefix+j.Key.String()); return err })
	if err == nil && value != nil {
		deaths, err = strconv.Atoi(string(value))
	}
	if err != nil {
		return 0, fmt.Errorf("delivery: reading what is noted of a suspect: %w", err)
	}
	return deaths, nil
}

func (r *run) noteDeaths(ctx context.Context, k queue.Key, deaths int) error {
	n, err := r.notes()
	if err != nil {
		return nil // the queue counts
	}
	var value []byte
	if deaths > 0 {
		value = strconv.AppendInt(nil, int64(deaths), 10)
	}
	if err := guard(func() error { return n.Set(ctx, suspectPrefix+k.String(), value) }); err != nil {
		return fmt.Errorf("delivery: noting a suspect: %w", err)
	}
	return nil
}

// putOff gives back a job of which the scheduler has not heard. If that fails for as long as a claim may take, its lease ends, as
// the scheduler knows since the claim.
func (r *run) putOff(j *queue.Job) {
	ctx, cancel := context.WithTimeout(r.last, claimLimit)
	defer cancel()
	if err := r.giveBack(ctx, j, r.now().Add(r.suspects.wait())); err != nil {
		r.trouble(j.Key, err)
		return
	}
	r.note(schedule.Ready{Lane: j.Lane(), Due: j.Due, Expires: j.Message.Expires})
}

// holdSuspect holds a job until the host program has looked at it. If that fails, its lease ends, as the scheduler knows since
// the claim.
func (r *run) holdSuspect(j *queue.Job) {
	j.Held, j.Lapses = true, 0
	if err := r.commit(r.last, j, noEntries); err != nil {
		r.trouble(j.Key, err)
		return
	}
	r.note(schedule.Ready{Expires: j.Message.Expires})
	r.observe(Held{Time: r.now(), Key: j.Key, Message: j.Message, Why: "its attempts have ended without a trace too often"})
	if err := r.noteDeaths(r.last, j.Key, 0); err != nil {
		r.trouble(j.Key, err)
	}
}
