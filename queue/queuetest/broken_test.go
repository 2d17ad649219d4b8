package queuetest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

// breach is a queue that breaks a rule.
type breach struct {
	name  string // of the case that must find it
	what  string // is wrong
	twist func(*twisted)
}

// forgetful is the hooks of a backend that takes half a body for a whole one, and forgets everything.
var forgetful = bound{
	reopen: func(queue.Queue) queue.Queue { return memqueue.New() },
	cut: func(q queue.Queue, id queue.ID) queue.Queue {
		t := q.(*twisted)
		t.open = func(ctx context.Context, open queue.ID) (io.ReadCloser, error) {
			rc, err := t.Queue.Open(ctx, open)
			if err == nil && open == id {
				rc = io.NopCloser(io.LimitReader(rc, 1000))
			}
			return rc, err
		}
		return q
	},
}

// A queue that breaks a rule fails the case that checks it, and one that hangs fails like others.
func TestBrokenQueues(t *testing.T) {
	for _, b := range slices.Concat(brokenEnqueue, brokenLeasers, brokenLeased, brokenClaims, brokenCommits, brokenLists, brokenDepths, brokenFull) {
		t.Run(fmt.Sprintf("%s: %s", b.name, b.what), func(t *testing.T) {
			t.Parallel()
			q := &twisted{Queue: memqueue.New()}
			b.twist(q)
			hooks := forgetful
			hooks.full = func(messages int) queue.Queue {
				q.MaxMessages = messages
				return q
			}
			mustFail(t, b.name, q, hooks)
		})
	}
}

// mustFail plays a case on a queue that breaks its rule.
func mustFail(t *testing.T, name string, q queue.Queue, hooks bound) {
	list := cases()
	i := slices.IndexFunc(list, func(c testCase) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("there is no case %s", name)
	}
	r := list[i].play(q, hooks, 2*time.Second)
	if len(r.failures) == 0 {
		t.Errorf("a broken queue passes the case %s", name)
	}
	for _, f := range r.failures {
		t.Log(f)
	}
}

// The reference queue passes every case, also those that need options.
func TestGoodQueue(t *testing.T) {
	Run(t, func(t *testing.T) queue.Queue { return memqueue.New() },
		Full(func(_ *testing.T, messages int) queue.Queue {
			q := memqueue.New()
			q.MaxMessages = messages
			return q
		}),
		Reopen(func(_ *testing.T, q queue.Queue) queue.Queue { return q }),
		Cut(func(_ *testing.T, q queue.Queue, id queue.ID) queue.Queue {
			t := &twisted{Queue: q.(*memqueue.Queue)}
			t.open = func(ctx context.Context, open queue.ID) (io.ReadCloser, error) {
				rc, err := t.Queue.Open(ctx, open)
				if err == nil && open == id {
					rc = io.NopCloser(io.MultiReader(io.LimitReader(rc, 1000), failing{}))
				}
				return rc, err
			}
			return t
		}))
}

// failing is the end of a body that was cut.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Names of cases are unique, and rules are sentences.
func TestCases(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cases() {
		if seen[c.name] {
			t.Errorf("two cases are named %s", c.name)
		}
		seen[c.name] = true
		if !strings.HasSuffix(c.rule, ".") || len(c.rule) < 20 {
			t.Errorf("the rule of %s is not a sentence: %q", c.name, c.rule)
		}
	}
	if len(seen) < 40 {
		t.Errorf("there are %d cases, want at least 40", len(seen))
	}
}
