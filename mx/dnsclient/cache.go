package dnsclient

import (
	"cmp"
	"container/list"
	"sync"
	"time"
	"unsafe"

	"github.com/postroad/postroad/mx"
)

// Bounds on what is kept.
const (
	maxTTL         = time.Hour       // a change that a postmaster makes is seen by then, whatever the TTL was
	maxNegativeTTL = 5 * time.Minute // records that someone adds are waited for
	defaultSize    = 8 << 20
	maxAnswer      = 64 << 10
	maxAnswers     = 100_000
)

// cache keeps answers, the least recently used of which go first.
type cache struct {
	mu      sync.Mutex // guards what follows
	entries map[question]*list.Element
	recent  list.List // of *entry, the one used last in front
	octets  int
}

type entry struct {
	question question
	answer   mx.Answer
	until    time.Time
	octets   int
}

// get returns the answer to q, with the TTL that is left of it.
func (c *cache) get(q question, now time.Time) (mx.Answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.entries[q]
	if element == nil {
		return mx.Answer{}, false
	}
	e := element.Value.(*entry)
	if !now.Before(e.until) {
		c.drop(element)
		return mx.Answer{}, false
	}
	c.recent.MoveToFront(element)
	a := e.answer
	a.TTL = e.until.Sub(now)
	return a, true
}

// put keeps an answer, if it may be kept, within so many octets.
func (c *cache) put(q question, a mx.Answer, now time.Time, size int) {
	size = cmp.Or(size, defaultSize)
	ttl, octets := keep(q, a), octetsOf(q, a)
	if ttl <= 0 || octets > min(maxAnswer, size) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.entries[q]; old != nil {
		c.drop(old)
	}
	for c.recent.Len() > 0 && (c.octets+octets > size || c.recent.Len() >= maxAnswers) {
		c.drop(c.recent.Back())
	}
	if c.entries == nil {
		c.entries = make(map[question]*list.Element)
	}
	c.entries[q] = c.recent.PushFront(&entry{q, a, now.Add(ttl), octets})
	c.octets += octets
}

func (c *cache) drop(element *list.Element) {
	e := c.recent.Remove(element).(*entry)
	delete(c.entries, e.question)
	c.octets -= e.octets
}

// keep says how long an answer may be kept.
func keep(q question, a mx.Answer) time.Duration {
	switch {
	case a.Rcode == mx.Success && len(a.Records) > 0:
		return min(a.TTL, maxTTL)
	case a.Rcode == mx.Success, a.Rcode == mx.NXDomain && q.t != uint16(mx.TypeMX):
		return min(a.TTL, maxNegativeTTL)
	}
	return 0
}

// octetsOf is the memory that an entry takes, about.
func octetsOf(q question, a mx.Answer) int {
	const (
		entryOctets  = int(unsafe.Sizeof(entry{}) + unsafe.Sizeof(list.Element{}))
		bucketOctets = 3 * int(unsafe.Sizeof(question{})+unsafe.Sizeof(new(int))) // a map keeps room
	)
	n := entryOctets + bucketOctets + len(q.name) + len(a.Canonical) + cap(a.Records)*int(unsafe.Sizeof(mx.Record{}))
	for _, r := range a.Records {
		n += len(r.Host) + len(r.Text) + len(r.TLSA.Data)
	}
	return n
}
