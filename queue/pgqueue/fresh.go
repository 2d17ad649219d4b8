package pgqueue

import (
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

const (
	// maxFresh bounds the octets of the bodies in fresh.
	maxFresh = 16 << 20
	// freshTime is how long a body is of use: who has it by then has a lease that hasn't ended.
	freshTime = 10 * time.Second
)

// fresh has the bodies of messages that this process has stored a moment ago. Most mail is sent at once, and by who accepted it; to
// get a body back from the database would cost a round trip, and more of the server's time than the claim. A body is lent
// to who has a lease, since only then is it certain that the message hasn't ended.
type fresh struct {
	mu     sync.Mutex // guards what follows
	bodies map[queue.ID]*freshBody
	order  []*freshBody // oldest first; some may be gone
	size   int          // octets of the bodies
}

type freshBody struct {
	id           queue.ID
	head, octets []byte
	gone         bool
	since        time.Time
	leased       bool // by this process, and not committed
}

// add keeps the body of a message that was stored, if it is whole and due, and if there is room: what is older is claimed first, and stays
// for as long as it is of use.
func (f *fresh) add(p *prepared, now time.Time) {
	size := p.length()
	if size == 0 || p.message.Draft != nil || !p.due {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.order) > 0 && (f.order[0].gone || now.Sub(f.order[0].since) > freshTime) {
		f.remove(f.order[0])
		f.order = f.order[1:]
	}
	if f.size+size > maxFresh {
		return
	}
	if f.bodies == nil {
		f.bodies = make(map[queue.ID]*freshBody)
	}
	b := &freshBody{id: p.message.ID, head: p.head, octets: p.octets, since: now, leased: len(p.leased) > 0}
	f.bodies[b.id] = b
	f.order = append(f.order, b)
	f.size += size
}

// lend notes that jobs are leased.
func (f *fresh) lend(jobs []*queue.Job) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, j := range jobs {
		if b := f.bodies[j.Key.ID]; b != nil {
			b.leased = true
		}
	}
}

// take returns the body of a message of which a job is leased, if it is there. The next reader won't find it.
func (f *fresh) take(id queue.ID, now time.Time) (head, octets []byte, found bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.bodies[id]
	if b == nil || !b.leased || now.Sub(b.since) > freshTime {
		return nil, nil, false
	}
	head, octets = b.head, b.octets
	f.remove(b)
	return head, octets, true
}

// forget lets go of a message a job of which is about to be committed.
func (f *fresh) forget(id queue.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b := f.bodies[id]; b != nil {
		f.remove(b)
	}
}

func (f *fresh) remove(b *freshBody) {
	if !b.gone {
		f.size -= len(b.head) + len(b.octets)
		b.gone, b.head, b.octets = true, nil, nil
		delete(f.bodies, b.id)
	}
}
