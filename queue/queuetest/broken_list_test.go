package queuetest

import (
	"context"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/postroad/postroad/queue"
)

// brokenLists are queues that show what they have in a wrong way, or to whom they shouldn't.
var brokenLists = []breach{
	{"OpenLastJob", "the body goes with the first job", func(q *twisted) {
		q.open = func(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
			for range q.Queue.Jobs(ctx, queue.Filter{ID: id, Ended: true}) {
				return nil, queue.ErrNotFound
			}
			return q.Queue.Open(ctx, id)
		}
	}},
	{"OpenNotFound", "the body stays for ever", func(q *twisted) {
		q.open = func(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text(id))), nil
		}
	}},
	{"OpenWrites", "a reader of a body keeps writers waiting", func(q *twisted) {
		var mu sync.RWMutex
		q.open = func(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
			mu.RLock()
			rc, err := q.Queue.Open(ctx, id)
			return unlocker{rc, &mu}, err
		}
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			mu.Lock()
			defer mu.Unlock()
			return q.Queue.Commit(ctx, j, more...)
		}
	}},
	{"OpenCut", "what is left of a body is taken for all", func(*twisted) {}}, // see cut
	{"JobsOrder", "a listed job has its token", func(q *twisted) {
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job { j.Token = 1; return j })
	}},
	{"JobsPaging", "a page begins with the last job of the one before", func(q *twisted) {
		q.jobs = func(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
			f.After.N--
			return q.Queue.Jobs(ctx, f)
		}
	}},
	{"JobsFilter", "a field of the filter is not looked at", func(q *twisted) {
		q.jobs = func(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
			f.Recipient = ""
			return q.Queue.Jobs(ctx, f)
		}
	}},
	{"JobsLoopBody", "a lock is held while the loop body runs", func(q *twisted) {
		var mu sync.Mutex
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			return q.Queue.Enqueue(ctx, e)
		}
		q.jobs = func(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
			return func(yield func(*queue.Job, error) bool) {
				mu.Lock()
				defer mu.Unlock()
				q.Queue.Jobs(ctx, f)(yield)
			}
		}
	}},
	{"HeadsLeased", "leases are not considered in Heads", func(q *twisted) {
		q.jobs = func(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
			if f.Heads {
				f = queue.Filter{Limit: 1, Unfinished: true}
			}
			return q.Queue.Jobs(ctx, f)
		}
	}},
	{"EndedOrder", "what has ended is listed by key", func(q *twisted) {
		q.sorted(func(_ queue.Filter, jobs []*queue.Job) []*queue.Job {
			slices.SortFunc(jobs, func(a, b *queue.Job) int { return a.Key.Compare(b.Key) })
			return jobs
		})
	}},
	{"EndedAgain", "a job is listed under its latest mark only", func(q *twisted) {
		q.sorted(func(f queue.Filter, jobs []*queue.Job) []*queue.Job {
			latest := map[queue.Key]queue.Mark{}
			for _, j := range jobs {
				latest[j.Key] = j.Mark()
			}
			return slices.DeleteFunc(jobs, func(j *queue.Job) bool { return f.Ended && j.Mark() < latest[j.Key] })
		})
	}},
	{"EndedAgain", "a job is listed as ended only once", func(q *twisted) {
		listed := map[queue.Key]bool{}
		q.listed(func(f queue.Filter, j *queue.Job) *queue.Job {
			if f.Ended && f.Since > 0 && listed[j.Key] {
				return nil
			}
			listed[j.Key] = true
			return j
		})
	}},
	{"EndedConcurrently", "a mark is seen before an earlier one", func(q *twisted) {
		q.sorted(func(f queue.Filter, jobs []*queue.Job) []*queue.Job {
			if f.Ended && len(jobs) > 1 {
				jobs = slices.Delete(jobs, len(jobs)-2, len(jobs)-1)
			}
			return jobs
		})
	}},
	{"EndedFinal", "a failed recipient has a mark", func(q *twisted) {
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job {
			for i := range j.Recipients {
				if j.Recipients[i].State == queue.Failed {
					j.Recipients[i].Mark = 99
				}
			}
			return j
		})
	}},
	{"ContextEnded", "a ctx that has ended is not looked at", func(q *twisted) {
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			return q.Queue.Commit(context.WithoutCancel(ctx), j, more...)
		}
	}},
	{"ContextEnqueue", "a message that is stored is said not to be", func(q *twisted) {
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			if added, err := q.Queue.Enqueue(context.WithoutCancel(ctx), e); ctx.Err() == nil {
				return added, err
			}
			return false, ctx.Err()
		}
	}},
	{"ContextReading", "a body is read on when ctx has ended", func(q *twisted) {
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			return q.Queue.Enqueue(context.WithoutCancel(ctx), e)
		}
	}},
	{"Closed", "a closed queue goes on", func(q *twisted) { q.close = func() error { return nil } }},
	{"ReopenStored", "what was stored is lost", func(*twisted) {}}, // see reopen
	{"JobsAsSelect", "Since is not looked at together with another field", func(q *twisted) {
		q.jobs = func(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
			if f.Domain != "" {
				f.Since = 0
			}
			return q.Queue.Jobs(ctx, f)
		}
	}},
	{"JobsConcurrently", "a listed job is put together from before and after a change", func(q *twisted) {
		before := map[queue.Key]*queue.Job{}
		q.listed(func(_ queue.Filter, j *queue.Job) *queue.Job {
			if old := before[j.Key]; old != nil {
				j.Via = old.Via
			}
			before[j.Key] = j.Clone()
			return j
		})
	}},
	{"JobsConcurrently", "a job that moves in its lane is listed again", func(q *twisted) {
		tries := map[queue.Key]int{}
		q.sorted(func(_ queue.Filter, jobs []*queue.Job) (list []*queue.Job) {
			for _, j := range jobs {
				if list = append(list, j); j.Tries > tries[j.Key] {
					list = append(list, j)
				}
				tries[j.Key] = j.Tries
			}
			return list
		})
	}},
	{"JobsContext", "a list is cut short without an error when ctx ends", func(q *twisted) {
		q.jobs = func(ctx context.Context, f queue.Filter) iter.Seq2[*queue.Job, error] {
			return func(yield func(*queue.Job, error) bool) {
				for j, err := range q.Queue.Jobs(ctx, f) {
					if !yield(j, err) || ctx.Err() != nil {
						return
					}
				}
			}
		}
	}},
}

// unlocker gives up a lock when a body is closed.
type unlocker struct {
	io.ReadCloser
	mu *sync.RWMutex
}

func (u unlocker) Close() error {
	u.mu.RUnlock()
	return u.ReadCloser.Close()
}
