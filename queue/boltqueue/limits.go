package boltqueue

import (
	"fmt"
	"math"
	"os"
	"sync"

	"github.com/postroad/postroad/queue"
)

// defaultMinFree is the floor of free disk, unless that is more than a tenth of the file system.
const defaultMinFree = 64 << 20

// limits say whether the queue takes another message.
type limits struct {
	maxBytes    int64 // 0: none
	maxMessages int64 // 0: none
	minFree     int64 // 0: the default; negative: none
	file        *os.File
	observer    *observer

	mu    sync.Mutex // guards all below
	inUse usage      // after the latest commit
	seen  usage      // when it was last looked at
	told  [3]bool    // which limits it was said of that they are nearly used up
}

// usage is what is in use.
type usage struct {
	bytes    int64 // octets of the file
	messages int64 // unfinished ones
	disk     int64 // octets of the file system, without what is free within the file
	size     int64 // octets that the file system has; 0 if that isn't known
}

// now is what is in use at this moment.
func (l *limits) now() usage {
	var free, size, taken int64
	if l.minFree >= 0 {
		free, size, taken, _ = diskOf(l.file)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.inUse
	u.size = size
	u.disk = max(0, size-free-max(0, taken-u.bytes))
	l.watch(u)
	l.seen = u
	return u
}

// refuses returns why another message has to stay out, as far as that is known before it is read. What was seen after the
// last commit is enough to let it in, since the transaction looks again; asking the system for each message cost half as
// much as claiming it.
func (l *limits) refuses() error {
	l.mu.Lock()
	seen := l.seen
	l.mu.Unlock()
	if l.admit(seen, 1) == nil {
		return nil
	}
	return l.admit(l.now(), 1)
}

// committed notes what is in use after a commit.
func (l *limits) committed(bytes, messages int64) {
	l.mu.Lock()
	l.inUse = usage{bytes: bytes, messages: messages}
	l.mu.Unlock()
	l.now()
}

// levels is how far each limit is used up.
func (l *limits) levels(u usage) [3]Filling {
	levels := [3]Filling{
		{"MaxBytes", u.bytes, l.maxBytes},
		{"MaxMessages", u.messages, l.maxMessages},
		{"MinFree", u.disk, u.size - l.floor(u)},
	}
	for i, none := range [3]bool{l.maxBytes == 0, l.maxMessages == 0, u.size == 0} {
		if none {
			levels[i].Max = math.MaxInt64
		}
	}
	return levels
}

func (l *limits) floor(u usage) int64 {
	if l.minFree == 0 {
		return min(defaultMinFree, u.size/10)
	}
	return l.minFree
}

// watch tells of limits that are nearly used up. It needs l.mu.
func (l *limits) watch(u usage) {
	for i, f := range l.levels(u) {
		used, most := float64(f.Used), float64(f.Max)
		switch {
		case used < 0.7*most:
			l.told[i] = false
		case used >= 0.8*most && !l.told[i]:
			l.told[i] = true
			l.observer.tell(f)
		}
	}
}

// admit returns why another message, or more of one, of about size octets has to stay out; nil if it may come in.
func (l *limits) admit(u usage, size int64) error {
	more := [3]int64{size, 1, size}
	for i, f := range l.levels(u) {
		if f.Used > f.Max-more[i] {
			return fmt.Errorf("%w: %s: %d of %d in use", queue.ErrFull, f.Limit, f.Used, f.Max)
		}
	}
	return nil
}

// admit is for what is about to be stored in t. It counts what comes in.
func (t *tx) admit(size int) error {
	if err := t.limits.admit(t.inUse, int64(size)); err != nil {
		return err
	}
	t.inUse.bytes += int64(size)
	t.inUse.disk += int64(size)
	return nil
}

// unlessStored is what becomes of p when the queue is full: nothing, unless the message id is stored already. Then p is
// read without being kept, so that the caller learns whether it is the same message.
func (q *Queue) unlessStored(p *prepared, id queue.ID, full error) error {
	known := false
	err := q.view(func(t *tx) error {
		m, err := t.message(id)
		known = m != nil
		return err
	})
	if err == nil && !known {
		err = q.wrap(full)
	}
	p.full = full
	return err
}
