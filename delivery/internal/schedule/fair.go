package schedule

import (
	"container/heap"
	"maps"
	"slices"
)

// turns shares what there is among ranks, the first of which is the best: each of the others has a fifth as long as it has
// something waiting, and the first that waits has the rest. Who comes after a time without work goes by rank.
type turns [3]float64

// next returns the rank whose turn it is, -1 if none waits.
func (t *turns) next(waits [3]bool) int {
	const fifth = 0.2
	first, rest := -1, 1.0
	for r, w := range waits {
		switch {
		case !w:
			t[r] = 0
		case first < 0:
			first = r
		default:
			t[r] += fifth
			rest -= fifth
		}
	}
	if first < 0 {
		return -1
	}
	t[first] += rest
	best := first
	for r := first + 1; r < len(t); r++ {
		if waits[r] && t[r] > t[best] {
			best = r
		}
	}
	t[best]--
	return best
}

// line is what waits for its turn, by tenant: each tenant gets a share by its weight, however much it has waiting, and within
// a tenant it is first come, first served. This is start-time fair queueing: a tenant's clock runs slower the more weight it
// has, the one whose clock is behind is next, and who comes anew begins at the time it is.
type line[T comparable] struct {
	shares map[string]*share[T]
	order  shareHeap[T] // those with items
	now    float64      // the clock of who was served last
}

// share is what one tenant has in a line.
type share[T comparable] struct {
	tenant string
	clock  float64
	items  []T
	index  int // in the heap; -1 if it is not there
	away   int // items that were taken and may come back: until then the clock is kept
}

// push puts an item at the end of its tenant's.
func (l *line[T]) push(tenant string, item T) {
	sh := l.shares[tenant]
	if sh == nil {
		if l.shares == nil {
			l.shares = make(map[string]*share[T])
		}
		sh = &share[T]{tenant: tenant, clock: l.now, index: -1}
		l.shares[tenant] = sh
	}
	sh.items = append(sh.items, item)
	if sh.index < 0 {
		heap.Push(&l.order, sh)
	}
}

// top is the tenant who is next, nil if nothing waits.
func (l *line[T]) top() *share[T] {
	if len(l.order) == 0 {
		return nil
	}
	return l.order[0]
}

// first is the item that is next. There must be one.
func (l *line[T]) first() T { return l.order[0].items[0] }

// charge moves a tenant's clock on: by what it got, divided by its weight. A negative amount gives back.
func (l *line[T]) charge(tenant string, amount float64) {
	sh := l.shares[tenant]
	if sh == nil {
		return
	}
	if amount > 0 {
		l.now = max(l.now, sh.clock)
	}
	sh.clock += amount
	if sh.index >= 0 {
		heap.Fix(&l.order, sh.index)
	}
}

// take takes the first n items of a tenant, and remembers that they are away.
func (l *line[T]) take(tenant string, n int) []T {
	sh := l.shares[tenant]
	taken := sh.items[:n:n]
	sh.items = sh.items[n:]
	sh.away += n
	l.tidy(sh)
	return taken
}

// takeLast takes the last item of a tenant, as take takes the first.
func (l *line[T]) takeLast(tenant string) T {
	sh := l.shares[tenant]
	last := len(sh.items) - 1
	item := sh.items[last]
	sh.items = sh.items[:last]
	sh.away++
	l.tidy(sh)
	return item
}

// back says that an item that was taken is here again, or won't come.
func (l *line[T]) back(tenant string) {
	sh := l.shares[tenant]
	sh.away--
	l.tidy(sh)
}

// drop takes all items of a tenant out.
func (l *line[T]) drop(tenant string) []T {
	sh := l.shares[tenant]
	dropped := sh.items
	sh.items = nil
	l.tidy(sh)
	return dropped
}

// remove takes one item out.
func (l *line[T]) remove(tenant string, item T) {
	sh := l.shares[tenant]
	i := slices.Index(sh.items, item)
	sh.items = slices.Delete(sh.items, i, i+1)
	l.tidy(sh)
}

// removeAll takes all items out that match.
func (l *line[T]) removeAll(match func(T) bool) (removed []T) {
	for _, tenant := range slices.Sorted(maps.Keys(l.shares)) {
		sh := l.shares[tenant]
		kept := sh.items[:0]
		for _, item := range sh.items {
			if match(item) {
				removed = append(removed, item)
			} else {
				kept = append(kept, item)
			}
		}
		clear(sh.items[len(kept):])
		sh.items = kept
		l.tidy(sh)
	}
	return removed
}

// tidy forgets a share as far as there is nothing in it.
func (l *line[T]) tidy(sh *share[T]) {
	if len(sh.items) > 0 {
		return
	}
	sh.items = nil // so that the array can go
	if sh.index >= 0 {
		heap.Remove(&l.order, sh.index)
	}
	if sh.away == 0 {
		delete(l.shares, sh.tenant)
	}
}

// count is how many items wait, or about as many as are enough.
func (l *line[T]) count(enough int) (n int) {
	for _, sh := range l.order {
		if n += len(sh.items); n >= enough {
			break
		}
	}
	return n
}

func (l *line[T]) empty() bool { return len(l.order) == 0 }

// shareHeap orders shares by their clocks.
type shareHeap[T comparable] []*share[T]

func (h shareHeap[T]) Len() int { return len(h) }
func (h shareHeap[T]) Less(i, j int) bool {
	if h[i].clock != h[j].clock {
		return h[i].clock < h[j].clock
	}
	return h[i].tenant < h[j].tenant // so that a run can be replayed
}
func (h shareHeap[T]) Swap(i, j int) { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *shareHeap[T]) Push(x any) {
	sh := x.(*share[T])
	sh.index = len(*h)
	*h = append(*h, sh)
}
func (h *shareHeap[T]) Pop() any {
	last := len(*h) - 1
	sh := (*h)[last]
	(*h)[last], sh.index = nil, -1
	*h = (*h)[:last]
	return sh
}
