package boltqueue

import (
	"sync"

	"github.com/postroad/postroad/queue"
)

// Bounds of fresh: octets of bodies, and messages that are remembered.
const (
	maxFresh         = 8 << 20
	maxFreshMessages = 8 << 10
)

// fresh has the bodies of messages that were stored a moment ago. Most mail is sent at once: to look its body up in the file,
// and to check the pages there, took a tenth of the time of a message's way in and out.
type fresh struct {
	memory *memory // where bodies come from

	mu     sync.Mutex          // guards what follows
	bodies map[queue.ID]*chunk // sealed; nil: somebody has taken it
	order  []queue.ID          // oldest first; some may have been forgotten
	size   int                 // octets of memory in bodies
}

func newFresh(m *memory) *fresh { return &fresh{memory: m, bodies: make(map[queue.ID]*chunk)} }

// add keeps the body of a message that is stored and due, unless it is too large to be one chunk. The oldest make room for it.
func (f *fresh) add(p *prepared) {
	whole := p.draft.segments == 0 && len(p.body) == 1 && len(p.body[0].chunks) == 1
	if !whole || p.jobs[0].Due.After(p.message.Enqueued) {
		return
	}
	c := p.body[0].chunks[0]
	p.body = nil
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bodies[p.message.ID] = c
	f.order = append(f.order, p.message.ID)
	f.size += cap(c.record)
	for f.size > maxFresh || len(f.order) > maxFreshMessages {
		f.remove(f.order[0])
		f.order = f.order[1:]
	}
}

// take gives a body to a reader, which gives its memory back; nil if it isn't there, or was taken before.
func (f *fresh) take(id queue.ID) *chunk {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.bodies[id]
	if c != nil {
		f.bodies[id] = nil
		f.size -= cap(c.record)
	}
	return c
}

// forget lets go of a message, and reports whether it was fresh: its pages are those that were written a moment ago.
func (f *fresh) forget(id queue.ID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.remove(id)
}

func (f *fresh) remove(id queue.ID) bool {
	c, known := f.bodies[id]
	if c != nil {
		f.size -= cap(c.record)
		f.memory.giveBack(c)
	}
	delete(f.bodies, id)
	return known
}
