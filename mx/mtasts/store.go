package mtasts

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Store keeps policies. Its methods may be called by several goroutines at once. The Notes of a queue are one.
type Store interface {
	// Get returns the value of key, nil if there is none.
	Get(ctx context.Context, key string) ([]byte, error)
	// Set stores value under key. A Router's keys begin with "mtasts/" and have at most 260 octets, its values at most 32 KiB.
	Set(ctx context.Context, key string, value []byte) error
}

func storeKey(domain string) string { return "mtasts/" + domain }

// kept is a policy as it is stored.
type kept struct {
	*Policy
	id      string    // the one that the TXT record had
	fetched time.Time // in whole seconds
}

// expires is when the policy holds no longer. One that is to hold for less than the time between two fetches holds for that.
func (k *kept) expires() time.Time { return k.fetched.Add(max(k.MaxAge, pause)) }

// recent reports whether it is too early to fetch the policy again.
func (k *kept) recent(now time.Time) bool { return now.Before(k.fetched.Add(pause)) }

// old reports whether it is time to fetch the policy again: once a day (RFC 8461, section 3.3), but not later than half of the
// time that it holds.
func (k *kept) old(now time.Time) bool {
	return !now.Before(k.fetched.Add(min(k.MaxAge/2, 24*time.Hour)))
}

// form is the version of the stored form: a line that begins with it, then the policy file.
const form = "1"

func (k *kept) marshal() []byte {
	return fmt.Appendf(nil, "%s %d %s\n%s", form, k.fetched.Unix(), k.id, k.Policy)
}

var errStored = errors.New("mtasts: not a stored policy")

// parseKept reads what marshal wrote. The store may have been written by another version, or by anybody.
func parseKept(value []byte) (*kept, error) {
	head, text, _ := strings.Cut(string(value[:min(len(value), 2*maxPolicy)]), "\n")
	fields := strings.Split(head, " ")
	if len(fields) != 3 || fields[0] != form || !validID(fields[2]) {
		return nil, errStored
	}
	seconds, err := strconv.ParseUint(fields[1], 10, 40)
	if err != nil {
		return nil, errStored
	}
	policy, err := parsePolicy(text)
	if err != nil {
		return nil, err
	}
	return &kept{policy, fields[2], time.Unix(int64(seconds), 0)}, nil
}

// load returns the stored policy of a domain, nil if there is none that still holds. What can't be read counts as none, since
// it can be fetched again; but a store that fails is an error, or its trouble would switch off what it holds.
func (r *Router) load(ctx context.Context, domain string) (*kept, error) {
	value, err := r.store().Get(ctx, storeKey(domain))
	if err != nil || value == nil {
		return nil, err
	}
	k, err := parseKept(value)
	now := time.Now()
	if err != nil || !now.Before(k.expires()) || k.fetched.After(now.Add(24*time.Hour)) {
		return nil, nil
	}
	if k.fetched.After(now) { // the clock was set back since
		k.fetched = now
	}
	return k, nil
}

func (r *Router) store() Store {
	if r.Store == nil {
		return &r.memory
	}
	return r.Store
}

// maxMemory is how many octets of policies are kept in memory: of 50,000 domains with the usual 300.
const maxMemory = 16 << 20

// memory is a Store that forgets some of what it has when there is too much.
type memory struct {
	mu     sync.Mutex // guards what follows
	values map[string][]byte
	size   int
}

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[key], nil
}

func (m *memory) Set(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = make(map[string][]byte)
	}
	m.remove(key)
	for other := range m.values {
		if m.size+len(key)+len(value) <= maxMemory {
			break
		}
		m.remove(other)
	}
	m.values[key] = value
	m.size += len(key) + len(value)
	return nil
}

func (m *memory) remove(key string) {
	if value, ok := m.values[key]; ok {
		m.size -= len(key) + len(value)
		delete(m.values, key)
	}
}
