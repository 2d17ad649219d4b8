package boltqueue

import (
	"sync"

	"github.com/postroad/postroad/queue"
)

// Event is what [Options].Observe is told.
type Event interface{ event() }

// Poisoned says that a job is held from now on: three times the process ended without Close while it was being worked on, as
// the only suspect. It is told by the Open that holds the job, once.
type Poisoned struct{ Key queue.Key }

func (Poisoned) event() {}

// Filling says that four fifths of a limit have been used up. It is told once when that comes to pass, also if Open finds it
// so, and again only after less than 70 % was in use meanwhile.
type Filling struct {
	// Limit is the name of the limit in [Options]: "MaxBytes", "MaxMessages" or "MinFree".
	Limit string
	// Used and Max are octets or, of MaxMessages, messages. Of MinFree they are about the file system as a whole: what is
	// in use of it, by whomever, and what can be before less than MinFree is free.
	Used, Max int64
}

func (Filling) event() {}

// observer calls a function of the host program with events, one after the other, in a goroutine that lasts as long as
// there are any. So that function can't hold up the queue, and may use it.
type observer struct {
	observe func(Event) // nil if nobody wants to know

	mu      sync.Mutex      // guards all below
	events  []Event         // not told yet
	telling bool            // there is a goroutine that tells them
	once    map[string]bool // what was told by tellOnce
}

// maxEvents is how many events wait for a slow Observe; further ones are lost.
const maxEvents = 1000

// maxOnce bounds how much tellOnce remembers; who has heard of so much needs to hear no more.
const maxOnce = 10_000

// tellOnce tells e unless something of that name was told before.
func (o *observer) tellOnce(name string, e Event) {
	o.mu.Lock()
	known := o.once[name] || len(o.once) == maxOnce
	if !known {
		o.once[name] = true
	}
	o.mu.Unlock()
	if !known {
		o.tell(e)
	}
}

func (o *observer) tell(e Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.observe == nil || len(o.events) == maxEvents {
		return
	}
	o.events = append(o.events, e)
	if !o.telling {
		o.telling = true
		go o.run()
	}
}

func (o *observer) run() {
	for {
		o.mu.Lock()
		if len(o.events) == 0 {
			o.telling = false
			o.mu.Unlock()
			return
		}
		e := o.events[0]
		o.events = o.events[1:]
		o.mu.Unlock()
		o.call(e)
	}
}

// call survives a panic of the host program's function: it is no reason for the queue to end.
func (o *observer) call(e Event) {
	defer func() { _ = recover() }()
	o.observe(e)
}

// Unreadable says that part of the file is damaged and is passed over, so that the rest can be used. It is told once.
type Unreadable struct {
	// Key is the job that can't be read, and that Claim therefore doesn't give out. It is zero if what is damaged doesn't
	// say whose it is.
	Key queue.Key
	Err error // wraps queue.ErrDamaged
}

func (Unreadable) event() {}
