package delivery

import (
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/queue"
)

// What a Run does where others send from the same queue: it beats, and goes by what it hears then.

const (
	// shareTTL is how long after its last beat what a process had is kept from others: leases, and shares of sites. A beat takes
	// place each shareBeat, or each hungryBeat while something is due of which there is no share, and at once if that is new; but
	// no two within beatPause, which doubles with each that is wanted so soon, up to longestPause: the first mail to a domain
	// waits for a beat, and mail to thousands of new ones for a few.
	shareTTL     = 45 * time.Second
	shareBeat    = shareTTL / 3
	hungryBeat   = 5 * time.Second
	beatPause    = 25 * time.Millisecond
	longestPause = time.Second
	// beatLimit bounds all that a beat asks of the queue.
	beatLimit = 10 * time.Second
	// So long after its last beat a process begins nothing more, and stops the dialogues that have not begun to transfer their
	// message: connections must be closed when others may open some, and a goodbye takes up to 5 seconds by default.
	shareStop = shareTTL - 15*time.Second
	// comeback is how long a process that couldn't beat in time begins nothing after it can again. Its leases, and those of all
	// others if it was the queue that was away, are free by then; what was found out meanwhile is to be committed first.
	comeback = 10 * time.Second
	// rulesAge is when rules are read again although nobody has said that they have changed.
	rulesAge = 5 * time.Minute
)

// sharing is the part of a Run that beats. Its loop is a goroutine of its own.
type sharing struct {
	*run
	asks chan struct{} // holds a token while a beat is wanted soon
	cut  *time.Timer
	may  atomic.Pointer[permit] // never nil

	resume time.Time // nothing begins before, because beats came too late; zero: they didn't
	failed bool      // the last beat

	board bulletins
	ruled struct { // the rules that are followed
		mark []byte // as it was when they were last read
		read time.Time
	}
}

// permit ends when what has not begun to transfer its message must stop.
type permit struct {
	context.Context
	end context.CancelFunc
}

// share begins to share the queue with others, if it can be. The State must be there. What it returns ends that: beats, and later
// all that is still leased.
func (r *run) share() (end, farewell func()) {
	if r.shared == nil {
		return func() {}, func() {}
	}
	r.holder = crand.Text()
	s := &sharing{run: r, asks: make(chan struct{}, 1)}
	s.allow()
	s.cut = time.AfterFunc(shareStop, func() { s.may.Load().end() })
	r.sharing = s
	ctx, end := context.WithCancel(context.WithoutCancel(r.soft)) // connections are had until the loop of Run ends
	r.beside.Go(func() { s.live(ctx) })
	return end, s.farewell
}

func (s *sharing) allow() {
	ctx, end := context.WithCancel(s.soft)
	s.may.Store(&permit{ctx, end})
}

// mayBegin is what a dialogue goes by that begins now: it ends when it has to stop.
func (r *run) mayBegin() context.Context {
	if r.sharing == nil {
		return r.soft
	}
	return r.sharing.may.Load()
}

// askForShares has a beat take place soon. It never waits.
func (r *run) askForShares() {
	select {
	case r.sharing.asks <- struct{}{}:
	default:
	}
}

// live beats until ctx ends, and then gives up what there is.
func (s *sharing) live(ctx context.Context) {
	defer func() { s.may.Load().end() }()
	defer s.cut.Stop()
	wait, least := firstWait, beatPause
	for ctx.Err() == nil {
		hungry, err := s.beat(ctx)
		pause := shareBeat
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.trouble(queue.Key{}, fmt.Errorf("delivery: sharing the queue: %w", err))
			s.failed = true
			pause, wait = wait, min(2*wait, hungryBeat)
		case hungry || !s.resume.IsZero():
			pause, wait = hungryBeat, firstWait
		default:
			wait = firstWait
		}
		if sleep(ctx, min(pause, least)) && pause > least {
			select {
			case <-s.asks:
				least = min(2*least, longestPause)
			case <-time.After(pause - least):
				least = beatPause
			case <-ctx.Done():
			}
		}
	}
}

// sleep waits, and reports whether ctx has not ended meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// beat tells what is wanted and has been found out, and has the scheduler go by what there is and what others say.
func (s *sharing) beat(ctx context.Context) (hungry bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, beatLimit)
	defer cancel()
	select { // what was asked for until now is in what follows
	case <-s.asks:
	default:
	}
	var needs schedule.Needs
	var news schedule.News
	if !s.Sender.tell(ctx, func(r *run) {
		now := r.now()
		needs, news = r.state.Needs(now, 4*r.config.Concurrency), r.state.News(now)
	}) {
		return false, ctx.Err()
	}
	if err := s.clock.measure(ctx, s.shared); err != nil {
		return false, err
	}
	s.publish(ctx, news)
	began := s.now()
	want, sites := slots(&needs)
	var have map[string]int
	err = guard(func() (err error) { have, err = s.shared.Beat(ctx, s.holder, shareTTL, want); return err })
	if err != nil {
		return false, err
	}
	shares := schedule.Shares{Sites: make(map[string]int, len(have)), Rates: have[ratesKey], Until: began.Add(shareStop)}
	for key, n := range have {
		if site, ok := sites[key]; ok {
			shares.Sites[site] = max(n, 0)
		}
	}
	heard := s.listen(ctx) // after the beat: who gives a site up because it has failed says so before
	on := s.holdOn(began)
	s.Sender.tell(ctx, func(r *run) {
		now := r.now()
		for _, n := range heard {
			r.do(r.state.Step(now, schedule.Heard{News: n}))
		}
		if on {
			r.do(r.state.Step(now, shares))
		}
	})
	if shares.Rates > 0 {
		s.holders.Store(int64(math.Round(schedule.RateParts / float64(shares.Rates))))
	}
	s.followRules(ctx)
	return needs.Hungry, nil
}

// holdOn notes that a beat has succeeded, and reports whether what it has brought may be used.
func (s *sharing) holdOn(began time.Time) bool {
	if !s.cut.Reset(shareStop - s.now().Sub(began)) { // it has gone off: the beats before were too late
		s.allow()
		s.resume = began.Add(comeback)
	}
	if s.failed {
		s.failed = false
		s.back.fire()
	}
	if began.Before(s.resume) {
		return false
	}
	s.resume = time.Time{}
	return true
}

// farewell gives up what there is, so that others need not wait for it.
func (s *sharing) farewell() {
	s.holders.Store(0)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.soft), hungryBeat)
	defer cancel()
	err := guard(func() error { _, err := s.shared.Beat(ctx, s.holder, time.Millisecond, nil); return err })
	if err != nil {
		s.trouble(queue.Key{}, fmt.Errorf("delivery: sharing the queue: %w", err))
	}
}

// The names of what is shared, as the queue knows them.
const siteKey, ratesKey = "site/", "rates"

// slots says what is wanted in the queue's words, and which site each name is of.
func slots(n *schedule.Needs) (want map[string]queue.Slots, sites map[string]string) {
	want, sites = make(map[string]queue.Slots, len(n.Sites)+1), make(map[string]string, len(n.Sites))
	want[ratesKey] = queue.Slots{Want: schedule.RateParts}
	for site, need := range n.Sites {
		key := siteKey + site
		if len(site) > 255 || !utf8.ValidString(site) || strings.Contains(site, "\x00") {
			sum := sha256.Sum256([]byte(site)) // any queue can keep that
			key = siteKey + "#" + hex.EncodeToString(sum[:16])
		}
		want[key], sites[key] = queue.Slots{Want: need.Want, Used: need.Used}, site
	}
	return want, sites
}

// signal is fired for all who wait for it.
type signal struct {
	mu sync.Mutex
	c  chan struct{} // nil: nobody has asked for it
}

// next returns a channel that is closed when s is fired next.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c == nil {
		s.c = make(chan struct{})
	}
	return s.c
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c != nil {
		close(s.c)
		s.c = nil
	}
}

// followRules has rules come into force that another process has changed, and what they keep back no more be looked for.
func (s *sharing) followRules(ctx context.Context) {
	n, err := s.notes()
	if err != nil {
		return
	}
	var mark []byte
	err = guard(func() (err error) { mark, err = n.Get(ctx, changedKey); return err })
	if now := s.now(); err == nil {
		same := string(mark) == string(s.ruled.mark) && !s.ruled.read.IsZero()
		if same && now.Sub(s.ruled.read) < rulesAge {
			return
		}
		if err = guard(func() error { return s.renewRules(ctx) }); err == nil {
			s.ruled.mark, s.ruled.read = mark, now
			s.enforce()
			if !same {
				err = guard(s.learnLanes)
			}
		}
	}
	if err != nil {
		s.failing(ctx, "following rules", err)
	}
}

// failing tells of something that will be tried again, unless it failed because Run ends.
func (s *sharing) failing(ctx context.Context, what string, err error) {
	if ctx.Err() != context.Canceled {
		s.trouble(queue.Key{}, fmt.Errorf("delivery: %s: %w", what, err))
	}
}
