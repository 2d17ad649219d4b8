package queuetest

import (
	"context"
	"iter"
	"slices"

	"github.com/postroad/postroad/queue"
)

// brokenFull lists queues that do wrong when they are full.
var brokenFull = []breach{
	{"FullRefuses", "there is no limit", func(q *twisted) {
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			q.MaxMessages = 0
			return q.Queue.Enqueue(ctx, e)
		}
	}},
	{"FullRepeated", "a message that is stored is refused", func(q *twisted) {
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			if q.messages(true) >= room {
				return false, queue.ErrFull
			}
			return q.Queue.Enqueue(ctx, e)
		}
	}},
	{"FullBulk", "all are refused if there is no room for one", func(q *twisted) {
		q.enqueueAll = func(ctx context.Context, es iter.Seq[*queue.Entry]) (int, error) {
			list := slices.Collect(es)
			if q.messages(true)+len(list) > room {
				return 0, queue.ErrFull
			}
			return q.Queue.EnqueueAll(ctx, slices.Values(list))
		}
	}},
	{"FullCommit", "a bounce is refused", func(q *twisted) {
		q.commit = func(ctx context.Context, j *queue.Job, more []*queue.Entry) error {
			if q.messages(true)+len(more) > room {
				return queue.ErrFull
			}
			return q.Queue.Commit(ctx, j, more...)
		}
	}},
	{"FullNotes", "a note is refused", func(q *twisted) {
		q.set = func(ctx context.Context, key string, value []byte) error {
			if q.messages(true) >= room {
				return queue.ErrFull
			}
			return q.Queue.Set(ctx, key, value)
		}
	}},
	{"FullRoom", "finished messages count", func(q *twisted) {
		q.enqueue = func(ctx context.Context, e *queue.Entry) (bool, error) {
			if q.messages(false) >= room {
				return false, queue.ErrFull
			}
			return q.Queue.Enqueue(ctx, e)
		}
	}},
	{"FullReopen", "what was stored is lost", func(*twisted) {}}, // see reopen
}
