package queuetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

// brokenEnqueue are queues that store what they are given in a wrong way.
var brokenEnqueue = []breach{
	{"EnqueueConflict", "another digest is taken for the same", func(q *twisted) {
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			added, err := q.Queue.Enqueue(ctx, e)
			if errors.Is(err, queue.ErrConflict) {
				return false, nil
			}
			return added, err
		}
	}},
	{"EnqueueSameID", "a repeated message counts as added", func(q *twisted) {
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			_, err := q.Queue.Enqueue(ctx, e)
			return err == nil, err
		}
	}},
	{"EnqueueCopies", "the entry's labels are kept by reference", func(q *twisted) {
		labels := map[queue.ID][]string{}
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			labels[e.Message.ID] = e.Message.Labels
			return q.Queue.Enqueue(ctx, e)
		}
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job {
			j.Message.Labels = slices.Clone(labels[j.Key.ID])
			return j
		})
	}},
	{"EnqueueIgnores", "the entry decides about Lapses", func(q *twisted) {
		lapses := map[queue.Key]int{}
		q.entry(func(e *queue.Entry) { lapses[e.Jobs[0].Key] = e.Jobs[0].Lapses })
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job { j.Lapses = lapses[j.Key]; return j })
	}},
	{"EntryBodyFails", "half a body is stored as a whole one", func(q *twisted) {
		q.entry(func(e *queue.Entry) {
			b, _ := io.ReadAll(e.Body)
			e.Body = bytes.NewReader(b)
		})
	}},
	{"EntryHead", "Head is stored after Body", func(q *twisted) {
		q.entry(func(e *queue.Entry) {
			if head := e.Head; head != nil {
				b, _ := io.ReadAll(e.Body)
				h, _ := head()
				e.Body, e.Head = io.MultiReader(bytes.NewReader(b), bytes.NewReader(h)), nil
			}
		})
	}},
	{"EntryHeadCompletes", "Digest is looked at before Head has returned", func(q *twisted) {
		q.entry(func(*queue.Entry) {}) // Head completes the original, not the copy
	}},
	{"EntrySize", "Size is the entry's", func(q *twisted) {
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job { j.Message.Size = 1; return j })
	}},
	{"EntryBodySlow", "a lock is held while a body is read", func(q *twisted) {
		var mu sync.Mutex
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			return q.Queue.Enqueue(ctx, e)
		}
	}},
	{"EntryInvalid", "the error of Check is not wrapped", func(q *twisted) {
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			added, err := q.Queue.Enqueue(ctx, e)
			if errors.Is(err, queue.ErrInvalid) {
				err = errors.New(err.Error())
			}
			return added, err
		}
	}},
	{"EntryTimes", "times are kept to the second", func(q *twisted) {
		q.entry(func(e *queue.Entry) {
			for _, j := range e.Jobs {
				j.Due = j.Due.Truncate(time.Second)
			}
		})
	}},
	{"EntryLargest", "long labels are cut", func(q *twisted) {
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job {
			for i, l := range j.Message.Labels {
				j.Message.Labels[i] = l[:min(len(l), 255)]
			}
			return j
		})
	}},
	{"BulkStops", "what comes after a bad entry is stored", func(q *twisted) {
		q.enqueueAll = func(ctx context.Context, es iter.Seq[*queue.Entry]) (durable int, first error) {
			for e := range es {
				if _, err := q.Queue.Enqueue(ctx, e); err != nil && first == nil {
					first = err
				} else if first == nil {
					durable++
				}
			}
			return durable, first
		}
	}},
	{"NotesSet", "an empty note is none", func(q *twisted) {
		q.set = func(ctx context.Context, key string, value []byte) error {
			if len(value) == 0 {
				value = nil
			}
			return q.Queue.Set(ctx, key, value)
		}
	}},
	{"BulkStopsAnywhere", "what waits for its transaction when an entry fails is forgotten", func(q *twisted) {
		q.enqueueAll = func(ctx context.Context, es iter.Seq[*queue.Entry]) (durable int, err error) {
			var waiting []*queue.Entry
			for e := range es {
				if waiting = append(waiting, e); len(waiting) < 16 {
					continue
				}
				n, err := q.Queue.EnqueueAll(ctx, slices.Values(waiting))
				if durable += n; err != nil {
					return durable - n, err
				}
				waiting = nil
			}
			n, err := q.Queue.EnqueueAll(ctx, slices.Values(waiting))
			if err != nil {
				return durable, err
			}
			return durable + n, nil
		}
	}},
	{"BulkSlow", "a lock is held while EnqueueAll waits for an entry", func(q *twisted) {
		var mu sync.Mutex
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			return q.Queue.Enqueue(ctx, e)
		}
		q.enqueueAll = func(ctx context.Context, es iter.Seq[*queue.Entry]) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return q.Queue.EnqueueAll(ctx, es)
		}
	}},
	{"BulkEnds", "nothing is said to be stored when ctx ends", func(q *twisted) {
		q.enqueueAll = func(ctx context.Context, es iter.Seq[*queue.Entry]) (int, error) {
			durable, err := q.Queue.EnqueueAll(ctx, es)
			if err != nil {
				durable = 0
			}
			return durable, err
		}
	}},
	{"NotesMany", "only so many keys are listed", func(q *twisted) {
		q.keys = func(ctx context.Context, prefix string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				n := 0
				for k, err := range q.Queue.Keys(ctx, prefix) {
					if n++; n > 200 || !yield(k, err) {
						return
					}
				}
			}
		}
	}},
}
