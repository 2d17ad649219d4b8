package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/queuetest"
)

func TestFolder(t *testing.T) {
	open := func(t *testing.T, dir string) queue.Queue {
		q, err := OpenFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	queuetest.Run(t,
		func(t *testing.T) queue.Queue { return open(t, t.TempDir()) },
		queuetest.Reopen(func(t *testing.T, q queue.Queue) queue.Queue { return open(t, q.(*Folder).dir) }),
		queuetest.Cut(func(t *testing.T, q queue.Queue, id queue.ID) queue.Queue {
			f := q.(*Folder)
			if err := os.Truncate(filepath.Join(f.dir, "bodies", string(id)), 1000); err != nil {
				t.Fatal(err)
			}
			return q
		}))
}

func TestRun(t *testing.T) {
	if err := run(t.Context(), t.TempDir()); err != nil {
		t.Error(err)
	}
}
