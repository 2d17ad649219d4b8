package boltqueue

import "github.com/postroad/postroad/queue"

// Event is what [Options].Observe is told.
type Event interface{ event() }

// Poisoned says that a job is held from now on, because the process ended three times without closing the queue while it was being worked
// on and no other job could be blamed. It is told by the Open that holds the job.
type Poisoned struct{ Key queue.Key }

func (Poisoned) event() {}
