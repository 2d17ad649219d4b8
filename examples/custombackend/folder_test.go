package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// A commit and the bounce that it enqueues are in one file, so that no crash comes between them.
func TestOneRename(t *testing.T) {
	q, err := OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_000_000, 0)
	entry := func(id queue.ID) *queue.Entry {
		return &queue.Entry{
			Message: queue.Message{ID: id, Expires: now.Add(time.Hour)},
			Jobs: []*queue.Job{{
				Key: queue.Key{ID: id}, Domain: "example.com", Due: now, Recipients: []queue.Recipient{{Address: "user@example.com"}},
			}},
			Body: strings.NewReader("body"),
		}
	}
	if _, err := q.Enqueue(t.Context(), entry("a")); err != nil {
		t.Fatal(err)
	}
	c, err := q.Claim(t.Context(), queue.ClaimRequest{Now: now, Lease: time.Minute, Limit: 1})
	if err != nil || len(c.Jobs) != 1 {
		t.Fatal(c.Jobs, err)
	}
	j := c.Jobs[0]
	j.Recipients[0].State, j.Finished = queue.Bounced, now
	if err := q.Commit(t.Context(), j, entry("bounce")); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(filepath.Join(q.dir, "messages"))
	if err != nil || len(files) != 1 || files[0].Name() != "a" {
		t.Errorf("messages/ has %v, want the committed message's record alone", files)
	}
	if q, err = OpenFolder(q.dir); err != nil || q.messages["bounce"] == nil || q.messages["a"].unfinished() {
		t.Errorf("the commit or its bounce is lost: %v", err)
	}
}

func TestRun(t *testing.T) {
	if err := run(t.Context(), t.TempDir()); err != nil {
		t.Error(err)
	}
}
