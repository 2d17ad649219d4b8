package delivery

import (
	"time"

	"github.com/postroad/postroad/queue"
)

// Observer is told what happens to messages, after it has been stored. Observe is called by several goroutines at once;
// it should return soon, since the work that it is told of waits for it. A panic in it is caught and reported as [Trouble].
type Observer interface {
	Observe(Event)
}

// ObserverFunc makes an Observer of a function.
type ObserverFunc func(Event)

// Observe calls f.
func (f ObserverFunc) Observe(e Event) { f(e) }

// Event is one of [Queued], [Attempted], [Delivered], [Uncertain], [Expired], [Bounced], [Delayed], [Downgraded], [Held],
// [SitePaused], [SiteResumed] and [Trouble]. What follows from one commit is told of in this order. A kill can come between a commit
// and its events; whoever must not miss how a recipient ends reads [Sender.Outcomes].
type Event interface{ event() }

// Queued says that a message is durable.
type Queued struct {
	Time    time.Time
	Message queue.Message
	To      []string
}

// Attempted says what one attempt meant for one recipient. There is one for each recipient that the attempt concerned.
type Attempted struct {
	Time      time.Time // when the attempt began
	Took      time.Duration
	Key       queue.Key
	Message   queue.Message
	Recipient string
	Outcome   AttemptOutcome
	Reply     queue.Reply // what decided; its Host is "" if none was reached
	TLS       string      // protocol version of the connection that Reply came on, "" for plaintext
	QueueID   string      // the name that the server has given the message, if it was taken and that is known
	Try       int         // 1 for the first attempt
	Due       time.Time   // when the next attempt is due; zero if there will be none, or the job is held
}

// Delivered says that servers have taken a job's message for some of its recipients. There is one for each attempt that got so far.
type Delivered struct {
	Time       time.Time
	Key        queue.Key
	Message    queue.Message
	Recipients []queue.Recipient
}

// Uncertain says that a connection was lost before the end of the data was answered: these recipients may have the message.
// What is done about it says Config.Uncertain.
type Uncertain struct {
	Time       time.Time
	Key        queue.Key
	Message    queue.Message
	Recipients []queue.Recipient
	Due        time.Time // when the next attempt is due; zero if there will be none, or the job is held
}

// Expired says that the time has run out for some recipients of a job, of whom a [Bounced] tells, too.
type Expired struct {
	Time       time.Time
	Key        queue.Key
	Message    queue.Message
	Recipients []queue.Recipient
}

// Delayed says that some recipients of a job are still to be tried again, though it was queued longer ago than Config.DelayAfter.
// There is one for a job, after the first attempt that ends so late.
type Delayed struct {
	Time       time.Time
	Key        queue.Key
	Message    queue.Message
	Recipients []queue.Recipient // who is pending
	Due        time.Time         // when the next attempt is due; zero if the job is held
}

// Bounced says that delivery to some recipients of a job was given up, in the same commit as the report, if any. It is also what
// a program hears of double bounces by: those of messages with the null sender, whose From is "".
type Bounced struct {
	Time       time.Time
	Key        queue.Key
	Message    queue.Message
	Recipients []queue.Recipient
	Report     queue.ID // the report to the sender, or to Config.Postmaster; "" if nobody is to be told
}

// Held says that a job waits for [Sender.Release], [Sender.Withdraw] or its expiry: because the outcome of an attempt is uncertain, or
// because process after process has died with it in its hands. It isn't told of what [Sender.Hold] does.
type Held struct {
	Time    time.Time
	Key     queue.Key
	Message queue.Message
	Why     string
}

// Downgraded says that an attempt has offered a message to a host with less protection than its domain has had before, after
// Config.DowngradeAfter had passed. It comes after the attempt's other events. From then on that is what is expected of the domain.
type Downgraded struct {
	Time    time.Time
	Key     queue.Key
	Message queue.Message
	Domain  string // the one whose DNS has named the host, or, if the host program has named it, the host
	Host    string
	Had     string // "encrypted", or "verified": with a certificate that proves the host's name
	Has     string // "plaintext" or "encrypted"
}

// SitePaused says that a site is left alone for a while, because its connections have failed or because a reply asked for it. One
// that becomes longer is told of again at the time it should have ended. It isn't told of what [Sender.Pause] does.
type SitePaused struct {
	Time  time.Time
	Site  string
	Until time.Time
	Why   string // what a host said, what went wrong, or the name of the shaping rule
}

// SiteResumed says that the pause of a site is over: it is tried again, if anything waits for it. There is none when Run ends.
type SiteResumed struct {
	Time time.Time
	Site string
}

// Trouble says that something of the Sender's own doesn't work, such as its queue. Work goes on; nothing is lost by it.
type Trouble struct {
	Time time.Time
	Key  queue.Key // the job concerned, if any
	Err  error
}

func (Queued) event()      {}
func (Attempted) event()   {}
func (Delivered) event()   {}
func (Uncertain) event()   {}
func (Expired) event()     {}
func (Delayed) event()     {}
func (Bounced) event()     {}
func (Held) event()        {}
func (SitePaused) event()  {}
func (SiteResumed) event() {}
func (Downgraded) event()  {}
func (Trouble) event()     {}

// AttemptOutcome is what an attempt meant for a recipient. What becomes of it in the end is an [Outcome].
type AttemptOutcome string

const (
	OutcomeDelivered AttemptOutcome = "delivered" // a server has taken responsibility
	OutcomeDeferred  AttemptOutcome = "deferred"  // to be tried again
	OutcomeFailed    AttemptOutcome = "failed"    // given up
	OutcomeUncertain AttemptOutcome = "uncertain" // to be tried again, though the server may have taken it
)
