package simulate

import (
	"time"

	"github.com/postroad/postroad/queue"
)

// Event is something that happens. What an Observer of a Sender would be told is of package delivery, so that an Observer can be
// shown a future: [delivery.Queued], [delivery.Attempted], [delivery.Delayed], [delivery.Bounced], [delivery.SitePaused] and
// [delivery.SiteResumed]. What a Sender doesn't tell is [Connected], [Refused], [Disconnected] and [PutBack].
type Event any

// Connected says that a host has greeted us.
type Connected struct {
	Site string
	Open int // how many connections there are at the site now
}

// Refused says that a connection could not be had.
type Refused struct {
	Site  string
	Reply queue.Reply
	Open  int // how many there are
}

// Disconnected says that a connection has ended.
type Disconnected struct {
	Site string
	Open int // how many are left
}

// PutBack says that a job goes back to the queue until it is due, which is no attempt: a rate has been used up, or a host had no
// place for it beside our other connections.
type PutBack struct {
	Key queue.Key
	Due time.Time
	Why string
}
