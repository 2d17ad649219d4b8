package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing/iotest"

	"github.com/postroad/postroad/queue"
)

func bulkCases() []testCase {
	return []testCase{
		{"BulkStores", "EnqueueAll stores entries as Enqueue does, and counts those that are stored or were before.", bulkStores},
		{"BulkStops", "EnqueueAll stops at the first entry that can't be stored: what came before is stored, nothing after.", bulkStops},
		{"BulkStopsAnywhere", "However many came before the entry that can't be stored, durable counts what is stored.", bulkStopsAnywhere},
		{"BulkSlow", "While EnqueueAll waits for the next entry, or for its body, any method can be called.", bulkSlow},
		{"BulkEnds", "When ctx ends during EnqueueAll, durable counts what is stored.", bulkEnds},
		{"BulkContext", "EnqueueAll returns ctx's error if ctx has ended before it began.", bulkContext},
	}
}

func notesCases() []testCase {
	return []testCase{
		{"NotesSet", "Set stores a value under a key, which Get returns; nil removes it, an empty value doesn't.", notesSet},
		{"NotesCopies", "Values are the caller's copies.", notesCopies},
		{"NotesKeys", "Keys lists the keys that begin with prefix, in order, and the loop body may call any method.", notesKeys},
		{"NotesMany", "However many notes there are, Keys lists each once, also while others come and go.", notesMany},
		{"NotesBounds", "Keys are 1 to 512 octets, values at most 64 KiB.", notesBounds},
		{"NotesContext", "Get, Set and Keys return ctx's error if ctx has ended before they began.", notesContext},
	}
}

func (r *run) bulk() queue.Bulk {
	b, ok := r.q.(queue.Bulk)
	if !ok {
		r.skip("has no EnqueueAll")
	}
	return b
}

func bulkStores(r *run) {
	b := r.bulk()
	r.add(message("m05"))
	var want []string
	durable, err := b.EnqueueAll(r.ctx, func(yield func(*queue.Entry) bool) {
		for i := range 50 {
			id := queue.ID(fmt.Sprintf("m%02d", i))
			want = append(want, string(id))
			if !yield(message(id)) {
				return
			}
		}
		yield(message("m07")) // again
	})
	r.ok(err, "EnqueueAll")
	equal(r, durable, 51, "durable")
	equal(r, keys(r.list(queue.Filter{})), strings.Join(want, " "), "what is stored")
	equal(r, r.body("m49"), text("m49"), "the body of the last entry")
	durable, err = b.EnqueueAll(r.ctx, slices.Values([]*queue.Entry(nil)))
	r.ok(err, "EnqueueAll of nothing")
	equal(r, durable, 0, "durable")
}

func bulkStops(r *run) {
	b := r.bulk()
	broken := errors.New("the body broke")
	failing, invalid := message("c"), message("c")
	failing.Body = iotest.ErrReader(broken)
	invalid.Jobs = nil
	r.add(message("conflict"))
	for i, c := range []struct {
		entry *queue.Entry
		want  error
	}{{failing, broken}, {invalid, queue.ErrInvalid}, {other("conflict"), queue.ErrConflict}} {
		first, second := message(queue.ID(fmt.Sprintf("a%d", i))), message(queue.ID(fmt.Sprintf("b%d", i)))
		durable, err := b.EnqueueAll(r.ctx, slices.Values([]*queue.Entry{first, second, c.entry, message("after")}))
		r.is(err, c.want, "EnqueueAll")
		equal(r, durable, 2, "durable, when the third entry fails with %v", c.want)
	}
	equal(r, keys(r.list(queue.Filter{})), "a0 a1 a2 b0 b1 b2 conflict", "what is stored")
}

func bulkStopsAnywhere(r *run) {
	b := r.bulk()
	broken := errors.New("the body broke")
	for run, n := range []int{0, 1, 30, 200} {
		var es []*queue.Entry
		for i := range n {
			e := message(queue.ID(fmt.Sprintf("m%d-%03d", run, i)))
			e.Body = bytes.NewReader(large(20_000))
			es = append(es, e)
		}
		bad := message(queue.ID(fmt.Sprint("bad-", run)))
		bad.Body = iotest.ErrReader(broken)
		if n > 0 && run%2 == 0 {
			bad = other(es[n/2].Message.ID) // of this very call
		}
		durable, err := b.EnqueueAll(r.ctx, slices.Values(append(es, bad, message("after"))))
		if !errors.Is(err, broken) && !errors.Is(err, queue.ErrConflict) {
			r.fatalf("EnqueueAll: %v, want the error of the last entry", err)
		}
		equal(r, durable, n, "durable, when %d entries came before the one that fails", n)
		stored := 0
		for _, j := range r.list(queue.Filter{}) {
			if strings.HasPrefix(string(j.Key.ID), fmt.Sprintf("m%d-", run)) {
				stored++
			}
		}
		equal(r, stored, n, "how many of them are stored")
	}
	equal(r, len(r.list(queue.Filter{ID: "after"})), 0, "how many are stored that came after")
}

func bulkSlow(r *run) {
	b := r.bulk()
	meanwhile := func(id queue.ID) {
		r.add(message(id))
		r.commit(finish(r.takeKey(queue.Key{ID: id}, 0)))
	}
	durable, err := b.EnqueueAll(r.ctx, func(yield func(*queue.Entry) bool) {
		for i := range 3 {
			meanwhile(queue.ID(fmt.Sprint("before-", i)))
			e := message(queue.ID(fmt.Sprint("m", i)))
			e.Body = io.MultiReader(e.Body, action(func() { meanwhile(queue.ID(fmt.Sprint("within-", i))) }))
			if !yield(e) {
				return
			}
		}
	})
	r.ok(err, "EnqueueAll")
	equal(r, durable, 3, "durable")
	equal(r, keys(r.list(queue.Filter{Unfinished: true})), "m0 m1 m2", "what is stored")
}

func bulkEnds(r *run) {
	b := r.bulk()
	for round := range 10 {
		ctx, cancel := context.WithCancel(r.ctx)
		id := func(i int) queue.ID { return queue.ID(fmt.Sprintf("m%d-%02d", round, i)) }
		durable, err := b.EnqueueAll(ctx, func(yield func(*queue.Entry) bool) {
			for i := range 40 {
				if i == 4*round {
					cancel()
				}
				e := message(id(i))
				e.Body = bytes.NewReader(large(50_000))
				if !yield(e) {
					return
				}
			}
		})
		cancel()
		if err == nil {
			equal(r, durable, 40, "durable, without an error")
		} else {
			r.is(err, context.Canceled, "EnqueueAll whose ctx ends")
		}
		for i := range 40 {
			equal(r, len(r.list(queue.Filter{ID: id(i)})) == 1, i < durable, "whether entry %d is stored when durable is %d", i, durable)
		}
	}
}

func bulkContext(r *run) {
	b := r.bulk()
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	for _, es := range []iter.Seq[*queue.Entry]{slices.Values([]*queue.Entry{message("a")}), slices.Values([]*queue.Entry(nil))} {
		durable, err := b.EnqueueAll(ctx, es)
		r.is(err, context.Canceled, "EnqueueAll with a ctx that has ended")
		equal(r, durable, 0, "durable")
	}
	equal(r, keys(r.list(queue.Filter{})), "", "what is stored")
}

func (r *run) notes() queue.Notes {
	n, ok := r.q.(queue.Notes)
	if !ok {
		r.skip("has no Notes")
	}
	return n
}

// note shows the value of a key.
func (r *run) note(key string) string {
	v, err := r.notes().Get(r.ctx, key)
	r.ok(err, "Get")
	if v == nil {
		return "nil"
	}
	return fmt.Sprintf("%q", v)
}

func notesSet(r *run) {
	n := r.notes()
	equal(r, r.note("a"), "nil", "a note that was never set")
	for _, v := range []string{"one", "two", "\x00\xff", ""} {
		r.ok(n.Set(r.ctx, "a", []byte(v)), "Set")
		equal(r, r.note("a"), fmt.Sprintf("%q", v), "the note")
	}
	equal(r, r.note("A"), "nil", "the note of another key")
	r.ok(n.Set(r.ctx, "a", nil), "Set to nil")
	equal(r, r.note("a"), "nil", "a note that was removed")
	r.ok(n.Set(r.ctx, "a", nil), "Set to nil again")
}

func notesCopies(r *run) {
	n := r.notes()
	v := []byte("value")
	r.ok(n.Set(r.ctx, "a", v), "Set")
	v[0] = 'X'
	got, err := n.Get(r.ctx, "a")
	r.ok(err, "Get")
	equal(r, string(got), "value", "the note after a change of what was set")
	got[0] = 'X'
	equal(r, r.note("a"), `"value"`, "the note after a change of what was returned")
}

func (r *run) noteKeys(prefix string) string {
	var list []string
	for k, err := range r.notes().Keys(r.ctx, prefix) {
		r.ok(err, "Keys")
		list = append(list, k)
	}
	return strings.Join(list, " ")
}

func notesKeys(r *run) {
	n := r.notes()
	for _, k := range []string{"b/1", "a/2", "a/10", "a", "c", "a\xff"} {
		r.ok(n.Set(r.ctx, k, []byte{1}), "Set")
	}
	equal(r, r.noteKeys(""), "a a/10 a/2 a\xff b/1 c", "all keys")
	equal(r, r.noteKeys("a/"), "a/10 a/2", "the keys with a prefix")
	equal(r, r.noteKeys("a\xff"), "a\xff", "the keys with the greatest octet")
	equal(r, r.noteKeys("d"), "", "the keys with an unknown prefix")
	for k, err := range n.Keys(r.ctx, "a/") {
		r.ok(err, "Keys")
		r.ok(n.Set(r.ctx, k, nil), "Set while keys are listed")
		r.add(message(queue.ID("m" + k[2:])))
	}
	equal(r, r.noteKeys(""), "a a\xff b/1 c", "the keys that are left")
	for range n.Keys(r.ctx, "") {
		break
	}
	r.ok(n.Set(r.ctx, "z", []byte{1}), "Set after a loop that was left early")
}

func notesMany(r *run) {
	n := r.notes()
	key := func(i int) string { return fmt.Sprintf("n/%04d", i) }
	for i := range 300 {
		r.ok(n.Set(r.ctx, key(2*i), []byte{1}), "Set")
	}
	i := 0
	for k, err := range n.Keys(r.ctx, "n/") {
		r.ok(err, "Keys")
		equal(r, k, key(2*i), "key %d", i)
		r.ok(n.Set(r.ctx, k, nil), "Set to nil")
		if i%10 == 0 {
			r.ok(n.Set(r.ctx, key(max(0, 2*i-1)), []byte{1}), "Set of a key that was passed")
		}
		i++
	}
	equal(r, i, 300, "how many keys there were")
}

func notesBounds(r *run) {
	n := r.notes()
	longest, largest := strings.Repeat("k", 512), bytes.Repeat([]byte{7}, 64<<10)
	r.ok(n.Set(r.ctx, longest, largest), "Set of the largest note")
	equal(r, r.note(longest), fmt.Sprintf("%q", largest), "the largest note")
	r.is(n.Set(r.ctx, "", []byte{1}), queue.ErrInvalid, "Set with an empty key")
	r.is(n.Set(r.ctx, longest+"k", []byte{1}), queue.ErrInvalid, "Set with a key of 513 octets")
	r.is(n.Set(r.ctx, "k", append(largest, 7)), queue.ErrInvalid, "Set of more than 64 KiB")
	equal(r, r.noteKeys(""), longest, "the keys")
}

func notesContext(r *run) {
	n := r.notes()
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	_, err := n.Get(ctx, "a")
	r.is(err, context.Canceled, "Get")
	r.is(n.Set(ctx, "a", []byte{1}), context.Canceled, "Set")
	for _, err := range n.Keys(ctx, "") {
		r.is(err, context.Canceled, "Keys")
	}
	equal(r, r.note("a"), "nil", "the note")
}
