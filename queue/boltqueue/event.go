package boltqueue

import "github.com/postroad/postroad/queue"

// Event is what [Options].Observe is told.
type Event interface{ event() }

// Unreadable says that part of the file is damaged and is passed over, so that the rest can be used. It is told once.
type Unreadable struct {
	// Key is the job that can't be read, and that Claim therefore doesn't give out. It is zero if what is damaged doesn't
	// say whose it is.
	Key queue.Key
	Err error // wraps queue.ErrDamaged
}

func (Unreadable) event() {}
