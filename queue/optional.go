package queue

import (
	"context"
	"iter"
	"slices"
	"time"
)

// Bulk is implemented by queues that store many messages in fewer transactions than one each.
type Bulk interface {
	// EnqueueAll stores entries as [Queue.Enqueue] does, in their order, several to a transaction. The first durable of
	// them are stored, or were before, when it returns; err says why the next one isn't. Entries after it may have been
	// read, and none of them is stored.
	EnqueueAll(ctx context.Context, es iter.Seq[*Entry]) (durable int, err error)
}

// Leaser is implemented by queues in which it costs less to lease a job as it is stored than to claim it afterwards.
type Leaser interface {
	// EnqueueLeased stores e as [Queue.Enqueue] does, and in the same transaction leases those of its jobs that l names, but
	// for the ones that are finished, held, or not due at l.Now; it may pass over one of which a recipient is final. It returns
	// the leased ones as Claim would have, in the order of their numbers. Nothing is leased if added is false. A lease that was
	// made for a caller who was not told of it, because of [ErrInDoubt] or a message that turned out to be stored already, ends soon.
	EnqueueLeased(ctx context.Context, e *Entry, l LeaseRequest) (leased []*Job, added bool, err error)
}

// LeaseRequest says which jobs [Leaser.EnqueueLeased] leases, and for how long.
type LeaseRequest struct {
	Now    time.Time     // what is due is judged by this
	Lease  time.Duration // how long the jobs are the caller's, from Now; if it is not positive the error is [ErrInvalid]
	Holder string        // as in [ClaimRequest]
	// Jobs is called once when Body and Head of the entry were read, which may take its time, and returns the numbers of the jobs
	// to be leased; one that the entry doesn't have is [ErrInvalid]. It isn't called if the entry is refused before.
	Jobs func() []int
}

// Named calls Jobs, and returns the numbers in rising order, each once. The error wraps [ErrInvalid] and names the field; backends
// call it for what to lease.
func (l *LeaseRequest) Named(e *Entry) ([]int, error) {
	if l.Lease <= 0 {
		return nil, invalid("LeaseRequest.Lease", "is %v, not positive", l.Lease)
	}
	named := slices.Compact(slices.Sorted(slices.Values(l.Jobs())))
	for _, n := range named {
		if n < 0 || n >= len(e.Jobs) {
			return nil, invalid("LeaseRequest.Jobs", "has %d, of %d jobs", n, len(e.Jobs))
		}
	}
	return named, nil
}

// Waker is implemented by queues to which others than this process add messages.
type Waker interface {
	// Wake returns a channel that receives after messages were enqueued by another process; several may be one
	// receive, and nobody waits for it to be received. The channel is closed when ctx ends.
	Wake(ctx context.Context) <-chan struct{}
}

// Notes is implemented by queues that also keep small facts for their users: rules, pauses, what was learned about hosts.
// It uses standard types only, so that packages which don't import this one can name it.
type Notes interface {
	// Get returns the value of key, nil if there is none.
	Get(ctx context.Context, key string) ([]byte, error)
	// Set stores value durably under key; nil removes it, an empty one doesn't. Keys are 1 to 512 octets, values at most
	// 64 KiB, else the error is [ErrInvalid].
	Set(ctx context.Context, key string, value []byte) error
	// Keys lists the keys that begin with prefix, in order, holding no lock while the loop body runs.
	Keys(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Depths is implemented by queues that can tell how many jobs each lane has in far less time than listing them takes.
type Depths interface {
	// Depths lists the lanes that have unfinished jobs, each once and in no particular order. What is leased is judged by
	// now. It holds no lock while the loop body runs, so each Depth is right for a moment of its own. An error ends the
	// sequence.
	Depths(ctx context.Context, now time.Time) iter.Seq2[Depth, error]
}

// Depth is how many unfinished jobs a lane has. Each is counted once: as leased, else as held, else as waiting.
type Depth struct {
	Lane    Lane
	Waiting int // neither leased nor held, whether due or not
	Leased  int // Leased is after now, whether held or not
	Held    int // held and not leased
	// Due is the earliest Due of the waiting jobs, zero if there are none. If it is before now, the lane is so far behind; of
	// a lane of first attempts that is the age of its oldest message, unless that was to wait.
	Due time.Time
}

// Shared is implemented by queues that several processes may use at once.
type Shared interface {
	// Now is the queue's clock, which all its users go by.
	Now(ctx context.Context) (time.Time, error)
	// Beat says that holder is alive and what it makes of each site, and returns how many slots it may use until ttl from now;
	// none of a site that isn't in have, nor ever more than it wants. Together the holders never have more of a site than the one
	// would use that wants most; a holder has what it was told last, or what it uses if that is more, so that who must come
	// down keeps what it needs for that. If there are enough for all, each has some after a few beats. What there is too little
	// of for all to have some goes round in a matter of minutes, with each site in another order.
	//
	// What a holder had that has been silent for its ttl, leases included, is free after another's next Beat; so is what it leases
	// without a Beat after that, or before its first one. An empty want gives up all but leases.
	Beat(ctx context.Context, holder string, ttl time.Duration, want map[string]Slots) (have map[string]int, err error)
}

// Slots is what a holder makes of one site. What a site is, and a slot, is the holders' affair: a number of something that they
// share.
type Slots struct {
	Want int // would be used if the holder were alone
	Used int // are used now. They may be more than the holder has, if that has become less; then it begins nothing new
}
