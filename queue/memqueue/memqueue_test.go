package memqueue_test

import (
	"testing"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/queue/queuetest"
)

func TestQueue(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queue.Queue {
		q := memqueue.New()
		t.Cleanup(func() { q.Close() })
		return q
	}, queuetest.Full(func(_ *testing.T, messages int) queue.Queue {
		q := memqueue.New()
		q.MaxMessages = messages
		return q
	}))
}
