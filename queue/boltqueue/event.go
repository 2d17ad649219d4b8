package boltqueue

import "github.com/postroad/postroad/queue"

// Event is what [Options].Observe is told.
type Event interface{ event() }

// Poisoned says that a job is held from now on: three times the process ended without Close while it was being worked on, as
// the only suspect. It is told by the Open that holds the job, once.
type Poisoned struct{ Key queue.Key }

func (Poisoned) event() {}
