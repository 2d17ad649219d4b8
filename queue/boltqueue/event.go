package boltqueue

// Event is what [Options].Observe is told.
type Event interface{ event() }
