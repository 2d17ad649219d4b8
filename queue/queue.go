// Package queue defines what a mail queue is: the types that cross it, the five methods a backend has, and the rules
// those methods keep.
//
// # Promises
//
//   - Enqueue stores a whole message or nothing, and a nil error means that the message survives a kill and a power loss.
//   - A job has one owner at a time: the holder of the token that Claim gave out. A lease ends by Commit or by time, so
//     a crash needs no recovery scan: it is a lease that runs out.
//   - Commit is the only way to change a job, and it is one transaction: the new state of the job, the end of its lease,
//     the marks of what ended, and the messages that follow from it (a bounce) are all there or none is.
//
// # The unit of work
//
// A message is stored once. It has a [Job] for each destination domain, or several for one domain if there are many
// recipients. A job is one SMTP transaction, what is leased, and what one commit changes.
//
//	          Claim                     Commit, no recipient pending
//	waiting ----------> leased -------------------------------------------> finished
//	   ^                   |
//	   +-------------------+
//	     Commit with a later Due, or the lease ends
//
// A waiting job with Held set is claimed only by key, or once it has expired. Each [Recipient] of a job moves on its own:
//
//	Pending ---> Delivered
//	   |
//	   +-------> Failed ---> Bounced
//	   |
//	   +-------> Withdrawn
//
// # Writing a backend
//
// Implement [Queue] and run queuetest.Run on it; each failing case names the rule that was broken. What all backends do alike
// is in [ClaimRequest.Select], [Filter.Select], [Entry.Stored], [LeaseRequest.Named], [Job.Committed], [Job.Places] and [Job.At];
// examples/custombackend is the page to start from, and the folder sql of pgqueue has each method as a statement for PostgreSQL.
// Optional interfaces ([Bulk], [Leaser], [Waker], [Notes], [Depths], [Shared]) are found by type assertion. A backend compares and
// swaps, orders and stores; it holds no policy: when to retry, whether to bounce and what is fair are decided by its callers.
package queue

import (
	"context"
	"io"
	"iter"
	"time"
)

// Queue stores messages and leases their jobs. All methods may be called by several goroutines at once. Times are the
// caller's: a backend reads no clock except for limits on its own waiting. It keeps times and durations to the microsecond
// or better, and cuts off what is finer than it can keep; it keeps no time zones.
//
// Every method returns ctx's error if ctx has ended before it began. A ctx that ends later ends waiting and reading, but
// a change that has been handed to the disk is waited for: the error then says whether it took place, and only
// [ErrInDoubt] says that this can't be known. After the backend was closed, methods return [ErrClosed].
type Queue interface {
	// Enqueue stores the message of e with all its jobs, or nothing, and returns once it is durable. The entry is
	// stored as given, but for what [Entry] says about Head and Size. If the message's ID is stored already,
	// finished or not, nothing changes: added is false, and err is nil if the stored message has the same Digest,
	// [ErrConflict] if it has another. An entry that [Entry.Check] refuses is refused with that error; an error of
	// e.Body or e.Head is returned as it is, wrapped. However long these take, no other method waits for them. When the
	// queue's own limits are reached the error is [ErrFull], but a message that is stored already is still recognised, and a
	// backend need not read the body of another.
	// e and what it points to are the caller's again when Enqueue returns.
	Enqueue(ctx context.Context, e *Entry) (added bool, err error)

	// Claim leases jobs as r asks, in the order of [ClaimRequest]. Each returned job is the caller's copy, with a Token
	// that no other claim has had and Leased set to the end of its lease. A job whose lease has ended without a commit
	// is claimable again, and its Lapses are one more.
	Claim(ctx context.Context, r ClaimRequest) (Claimed, error)

	// Commit stores j as it now is, ends its lease, and enqueues more, all in one transaction. It returns
	// [ErrLeaseLost], and changes nothing, if j.Token is not the token of the job's latest claim, or was spent by an
	// earlier commit. A lease whose time has passed, but that nobody has claimed since, can still be committed. A j or
	// an entry of more that its Check refuses is refused with that error.
	//
	// Called again with the token of the job's latest commit, Commit changes nothing and returns nil, even if the job has
	// been claimed since, so that a commit that ended in [ErrInDoubt] can be repeated; the entries of more then need
	// bodies that can be read again.
	//
	// The queue keeps its own Message, Domain and marks; recipients keep their number and order. Tries says in which
	// lane the job is from then on; see [Job.Lane]. Each recipient that is final and has no mark gets the next [Mark]. The
	// job is finished if Finished is set; when the last job of a message is, the body is gone. An entry of more whose ID is
	// stored with the same Digest is passed over; with another Digest the commit fails with [ErrConflict]. Limits that make
	// Enqueue return [ErrFull] don't apply to more.
	Commit(ctx context.Context, j *Job, more ...*Entry) error

	// Open streams the stored body of a message that has unfinished jobs, holding no lock and no transaction while the
	// caller reads. The reader returns io.EOF only after exactly Message.Size octets; if the body is cut, damaged or
	// deleted meanwhile it ends in io.ErrUnexpectedEOF or an error that wraps it. A message that isn't stored, or whose
	// jobs are all finished, is [ErrNotFound].
	Open(ctx context.Context, id ID) (io.ReadCloser, error)

	// Jobs lists the stored jobs that match f, in the order f says. It holds no lock and no transaction while the loop
	// body runs, so that the body may call any method; a job that changes while the loop runs is seen before or after the
	// change. An error ends the sequence. Listed jobs have no Token.
	Jobs(ctx context.Context, f Filter) iter.Seq2[*Job, error]
}

// ClaimRequest says which jobs [Queue.Claim] leases, and for how long.
//
// A job is claimable when it is not finished, not leased at Now (Leased is not after Now), and either due (Due is not after
// Now) and not held, or, if Expired is set, expired (its message's Expires is not after Now), whether or not it is due or
// held, or, if Keys is set, named there. Expired jobs come first, earliest Expires first, equal ones in the order of their
// keys; then others.
//
// A queue may suspect a job of ending the process that works on it. It may keep such a job back, but from a request with Keys,
// while another one is leased, and may hold it.
type ClaimRequest struct {
	Now   time.Time     // what is due, expired or leased is judged by this
	Lease time.Duration // how long the jobs are the caller's, from Now; if it is not positive the error is [ErrInvalid]
	Limit int           // at most so many jobs; 0 leases none, but still reports when there will be some
	// Holder names who leases, so that a Shared queue can free what a silent holder had; it has called Beat before. Defaults
	// to "", a process that has the queue to itself.
	Holder string
	// Take lists lanes, each once, and how many due jobs to take of each, in this order; within a lane the earliest Due goes first,
	// and equal ones in the order of their keys. Nil means any lane: by priority, highest first, then by Due, then by
	// key, first attempts and retries alike. A Take that is empty and not nil takes from no lane. Jobs leased because they
	// expired don't count for N.
	Take []Take
	// Expired also leases expired jobs, of any lane.
	Expired bool
	// Keys, if not empty, leases these jobs only, in this order, due or not, held or not, and no more than Limit. Keys that
	// are unknown, leased or finished are passed over. Take and Expired are not looked at.
	Keys []Key
}

// Take asks for at most N due jobs of one lane.
type Take struct {
	Lane Lane
	N    int
}

// Claimed is what [Queue.Claim] returns.
type Claimed struct {
	Jobs []*Job
	// Next is the earliest moment at which time alone makes the same request lease more, not after the request's Now if
	// it would already now, and zero if it never will. Limit and N are not considered here: that they cut the claim
	// short, or are 0, means that more could be leased now. It is always zero for a request with Keys.
	Next time.Time
	// Lanes has, for each element of Take, the moment that Next describes for that lane alone, expiry not considered.
	// It is nil if Take is.
	Lanes []time.Time
}

// Filter selects jobs to list. A zero field selects everything; a job must match all the others.
type Filter struct {
	ID         ID
	Domain     string
	Tenant     string
	Sender     string // the message's reverse-path
	Recipient  string // the address of one of the recipients
	Label      string // one of the message's labels
	Unfinished bool   // only jobs that are not finished

	// Heads lists for each lane only the job that is, or becomes, claimable first without being expired: how a scheduler
	// learns the lanes. A leased job becomes so when it is due and its lease has ended. Lanes without such a job, because
	// all are held or finished, are left out. The other fields choose among the heads, and don't make another job the
	// head. Lanes come in no particular order. After is not looked at.
	Heads bool

	// Ended lists what has ended, in the order of marks: each job as often as it has [Job.Places] after Since. It is listed
	// as it is now, but without marks greater than the place, so that [Job.Mark] is the place, and the recipients whose
	// marks are greater than the place before, or Since, are those that whoever reads on has not seen yet. The order is fixed
	// once read: nothing is ever listed later with a mark at or before one that has been listed. A backend may list a
	// commit only when those before it are known. After is not looked at; the mark of the last recipient read pages on.
	Ended bool
	Since Mark

	// After pages on: only jobs whose key is greater. Without Heads or Ended, jobs come in the order of their keys.
	After Key
	Limit int // at most so many; 0 means no limit
}

// Match reports whether j has what the selecting fields of f ask for: all but Heads, After and Limit.
func (f *Filter) Match(j *Job) bool {
	m := &j.Message
	return (f.ID == "" || f.ID == j.Key.ID) &&
		(f.Domain == "" || f.Domain == j.Domain) &&
		(f.Tenant == "" || f.Tenant == m.Tenant) &&
		(f.Sender == "" || f.Sender == m.From) &&
		(f.Recipient == "" || j.hasRecipient(f.Recipient)) &&
		(f.Label == "" || m.hasLabel(f.Label)) &&
		(!f.Unfinished || j.Finished.IsZero()) &&
		(!f.Ended || j.Mark() > f.Since)
}
