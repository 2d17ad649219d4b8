package delivery

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient"
)

const (
	// levelMemory is how long a level is remembered that isn't seen any more.
	levelMemory = 30 // days
	// levelRenewal is how old the stored day of a level becomes before it is stored anew. So a domain that gets mail all the
	// time costs a write a week.
	levelRenewal = 7 // days
	// levelDelay is how long what was learned waits for more of it, to be stored together. A crash forgets that much.
	levelDelay = time.Minute
	// What is remembered is in a fixed number of notes, so that it is bounded whatever becomes of the names in it: it has
	// room for about a hundred thousand.
	levelShards   = 64
	maxLevelShard = 48 << 10 // octets of a note
)

// level is how well a connection is protected, as its certificate shows it.
type level uint8

const (
	plaintext level = iota
	encrypted       // whatever the certificate says
	verified        // the certificate proves the host's name
)

// String is the level in one word.
func (l level) String() string {
	return [...]string{"plaintext", "encrypted", "verified"}[min(l, verified)]
}

// levelOf is the level of a session.
func levelOf(s *smtpclient.Session) level {
	switch {
	case s.TLS() == nil:
		return plaintext
	case s.CertificateError() != nil:
		return encrypted
	}
	return verified
}

// levels is what domains have shown of TLS: the best level of each, until a lower one was put up with. The DNS may lead to other
// hosts at any time, be it that somebody forges it, so it is the domains that count; but a host that the host program has
// named stands for itself, whatever the domain of the mail is.
type levels struct {
	mu      sync.Mutex // guards what follows
	shards  [levelShards]levelShard
	stores  map[int]uint64 // how often each shard was stored
	changed chan struct{}  // has a token while something is to be stored
}

// levelShard is a part of the names, which is stored as one note.
type levelShard struct {
	names map[string]shown
	size  int // octets of a note with them
	dirty bool
}

// shown is the level of a name, and when it was last stored that it has it.
type shown struct {
	level level
	day   int // since 1970
}

func newLevels() *levels {
	ls := &levels{stores: make(map[int]uint64), changed: make(chan struct{}, 1)}
	for i := range ls.shards {
		ls.shards[i].names = make(map[string]shown)
	}
	return ls
}

// levelName is the name under which is remembered what a host shows.
func levelName(h *mx.Host) string {
	if len(h.Domains) > 0 {
		return h.Domains[0]
	}
	return h.Name
}

// keepable reports whether a name can be in a note. A router of somebody's may make any.
func keepable(name string) bool {
	return len(name) > 0 && len(name) <= 255 && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' })
}

func dayOf(now time.Time) int { return int(now.Unix() / (24 * 60 * 60)) }

func (ls *levels) shard(name string) *levelShard {
	h := fnv.New32a()
	h.Write([]byte(name))
	return &ls.shards[h.Sum32()%levelShards]
}

// level is the one that a name has shown lately.
func (ls *levels) level(name string, now time.Time) level {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if s := ls.shard(name).names[name]; dayOf(now)-s.day <= levelMemory {
		return s.level
	}
	return plaintext
}

// saw notes that a name has a level, or more.
func (ls *levels) saw(name string, l level, now time.Time) {
	if !keepable(name) {
		return
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	old := ls.shard(name).names[name]
	age := dayOf(now) - old.day
	if age > levelMemory {
		old.level = plaintext
	}
	if l > old.level || l == old.level && l > plaintext && age >= levelRenewal {
		ls.set(name, shown{l, dayOf(now)})
	}
}

// fell notes that a name has no more than a level: mail was sent all the same.
func (ls *levels) fell(name string, l level, now time.Time) {
	if !keepable(name) {
		return
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if old := ls.shard(name).names[name]; l < old.level {
		ls.set(name, shown{l, dayOf(now)})
	}
}

// set is called with ls locked.
func (ls *levels) set(name string, s shown) {
	shard := ls.shard(name)
	shard.set(name, s)
	shard.dirty = true
	ls.remind()
}

// remind says that there is something to store.
func (ls *levels) remind() {
	select {
	case ls.changed <- struct{}{}:
	default:
	}
}

// set adds or replaces what is known of a name. If that is too much for a note, the oldest are forgotten.
func (s *levelShard) set(name string, what shown) {
	if _, known := s.names[name]; !known {
		s.size += levelLine(name)
	}
	s.names[name] = what
	if s.size <= maxLevelShard {
		return
	}
	oldest := slices.SortedFunc(maps.Keys(s.names), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.names[a].day, s.names[b].day), strings.Compare(a, b))
	})
	for _, name := range oldest[:len(oldest)/4] { // more than has to be, so that it isn't sorted each time
		s.forget(name)
	}
}

func (s *levelShard) forget(name string) {
	s.size -= levelLine(name)
	delete(s.names, name)
}

// levelForm is the version of the stored form: a line that is it, and a line for each name.
const levelForm = "1"

// levelLine is how many octets a name takes in a note, at most.
func levelLine(name string) int { return len(name) + len(" 2 1000000\n") }

func (s *levelShard) marshal(now time.Time) []byte {
	b := []byte(levelForm + "\n")
	for name, shown := range s.names {
		if dayOf(now)-shown.day > levelMemory {
			s.forget(name)
			continue
		}
		b = fmt.Appendf(b, "%s %d %d\n", name, shown.level, shown.day)
	}
	return b
}

// adopt takes in what a note says that is newer than what is known. A note that can't be read says nothing.
func (s *levelShard) adopt(note []byte, now time.Time) {
	head, rest, _ := bytes.Cut(note, []byte("\n"))
	if string(head) != levelForm {
		return
	}
	for line := range bytes.Lines(rest) {
		fields := strings.Fields(string(line))
		if len(fields) != 3 || !keepable(fields[0]) {
			continue
		}
		l, err := strconv.ParseUint(fields[1], 10, 8)
		day, err2 := strconv.ParseUint(fields[2], 10, 31)
		name := fields[0]
		if err != nil || err2 != nil || level(l) > verified || int(day) > dayOf(now)+1 {
			continue
		}
		if old, known := s.names[name]; !known || int(day) > old.day {
			s.set(name, shown{level(l), int(day)})
		}
	}
}

func levelKey(i int) string { return fmt.Sprintf("delivery/tls/%02d", i) }

// load takes in what is stored.
func (ls *levels) load(ctx context.Context, n queue.Notes) error {
	for i := range ls.shards {
		if err := ls.loadShard(ctx, n, i); err != nil {
			return err
		}
	}
	return nil
}

func (ls *levels) loadShard(ctx context.Context, n queue.Notes, i int) error {
	note, err := n.Get(ctx, levelKey(i))
	if err != nil {
		return err
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.shards[i].adopt(note, time.Now())
	return nil
}

// stored is how often each shard was stored.
func (ls *levels) stored() map[int]uint64 {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return maps.Clone(ls.stores)
}

// follow takes in what another process has stored since it was at was.
func (ls *levels) follow(ctx context.Context, n queue.Notes, was, is map[int]uint64) error {
	for i, times := range is {
		if i < 0 || i >= levelShards || times == was[i] {
			continue
		}
		if err := ls.loadShard(ctx, n, i); err != nil {
			return err
		}
	}
	return nil
}

// store stores what has changed, together with what others have stored meanwhile.
func (ls *levels) store(ctx context.Context, n queue.Notes) error {
	for i := range ls.shards {
		if err := ls.storeShard(ctx, n, i); err != nil {
			return err
		}
	}
	return nil
}

func (ls *levels) storeShard(ctx context.Context, n queue.Notes, i int) (err error) {
	s := &ls.shards[i]
	ls.mu.Lock()
	dirty := s.dirty
	s.dirty = false
	ls.mu.Unlock()
	if !dirty {
		return nil
	}
	defer func() {
		if err != nil {
			ls.mu.Lock()
			defer ls.mu.Unlock()
			s.dirty = true
		}
	}()
	note, err := n.Get(ctx, levelKey(i))
	if err != nil {
		return err
	}
	ls.mu.Lock()
	s.adopt(note, time.Now())
	note = s.marshal(time.Now())
	ls.mu.Unlock()
	if err := n.Set(ctx, levelKey(i), note); err != nil {
		return err
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.stores[i]++
	return nil
}
