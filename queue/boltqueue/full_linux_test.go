package boltqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/postroad/postroad/queue"
)

// mount makes a file system of that many octets.
func mount(t *testing.T, size int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mounting a tmpfs: %v", err)
		}
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// stuff fills the file system of dir from outside to its last octet.
func stuff(t *testing.T, dir string) (name string) {
	t.Helper()
	f, err := os.CreateTemp(dir, "stuff")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return f.Name()
}

// stuffQueue enqueues messages until the disk is full, large ones first, and returns their IDs. The refusals must have come before
// anything was written.
func stuffQueue(t *testing.T, q *Queue, name string) (ids []queue.ID) {
	t.Helper()
	for i, size := 0, 3*segmentSize; size > 0; i++ {
		id := queue.ID(fmt.Sprintf("%s-%d", name, i))
		added, err := q.Enqueue(context.Background(), message(id, random(i, size), "example.com"))
		if err == nil {
			ids = append(ids, id)
			continue
		}
		failed := (*os.SyscallError)(nil)
		if added || !errors.Is(err, queue.ErrFull) || !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &failed) || failed.Syscall != "fallocate" {
			t.Fatalf("Enqueue on a full disk: added %v, error %v", added, err)
		}
		size /= 2
	}
	return ids
}

// A full disk loses nothing that was accepted and keeps nothing that was refused. Commits go on, and make room.
func TestDiskFull(t *testing.T) {
	dir := mount(t, 12<<20)
	q := mustOpen(t, filepath.Join(dir, "mail.db"), Options{MinFree: -1})
	ids := stuffQueue(t, q, "a")
	outside := stuff(t, dir)
	if more := stuffQueue(t, q, "b"); len(more) > 0 {
		t.Errorf("accepted beyond the end of the disk: %q", more)
	}
	checkUnfinished(t, q, len(ids))

	jobs := claimAll(t, q, start)
	for _, j := range jobs { // a failed attempt each
		j.Tries++
		j.Attempts = append(j.Attempts, queue.Attempt{Time: start, Reply: queue.Reply{Code: 451}})
		if err := q.Commit(context.Background(), j); err != nil {
			t.Fatalf("Commit of a failed attempt on a full disk: %v", err)
		}
	}
	jobs = claimAll(t, q, start)
	for i, j := range jobs {
		finish(t, q, j, start)
		if i == len(jobs)/2 {
			ids = ids[i+1:]
			checkUnfinished(t, q, len(ids))
			more := stuffQueue(t, q, "c")
			if len(more) == 0 {
				t.Error("finished messages make no room for others")
			}
			ids = append(ids, more...)
		}
	}
	checkUnfinished(t, q, len(ids)-(len(jobs)-len(jobs)/2-1))
	for _, j := range claimAll(t, q, start) {
		finish(t, q, j, start)
	}
	if err := os.Remove(outside); err != nil {
		t.Fatal(err)
	}
	mustEnqueue(t, q, message("large", random(1, 5<<20), "example.com"))
	checkUnfinished(t, q, 1)
}

// When a message and a commit share a transaction, and there is room only for the commit, the commit goes on.
func TestDiskFullGroup(t *testing.T) {
	dir := mount(t, 8<<20)
	q := mustOpen(t, filepath.Join(dir, "mail.db"), Options{MinFree: -1})
	ids := stuffQueue(t, q, "a")
	j := claimAll(t, q, start)[0]
	j.Recipients[0].State, j.Finished = queue.Bounced, start
	stuff(t, dir)

	resume := stall(q)
	refused, committed := make(chan error), make(chan error)
	go func() {
		_, err := q.Enqueue(context.Background(), message("more", random(1, segmentSize), "example.com"))
		refused <- err
	}()
	go func() {
		committed <- q.Commit(context.Background(), j, message("bounce", random(2, 10_000), "example.com"))
	}()
	waitFor(q, 2)
	resume()
	if err := <-refused; !errors.Is(err, queue.ErrFull) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Enqueue: %v", err)
	}
	if err := <-committed; err != nil {
		t.Errorf("Commit: %v", err)
	}
	checkUnfinished(t, q, len(ids))
}

// A file can be opened when its disk is full, also if it was not closed.
func TestOpenDiskFull(t *testing.T) {
	for _, how := range []string{"closed", "not closed"} {
		t.Run(how, func(t *testing.T) {
			dir := mount(t, 8<<20)
			path := filepath.Join(dir, "mail.db")
			q, err := Open(path, Options{MinFree: -1})
			if err != nil {
				t.Fatal(err)
			}
			ids := stuffQueue(t, q, "a")
			finish(t, q, claimAll(t, q, start)[0], start)
			crashed := newPath(t)
			copyFile(t, path, crashed)
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			if how == "not closed" {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				copyFile(t, crashed, path)
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				m := newest(t, b) // behind its last page there is nothing, so not even a list of the free ones has room
				if err := os.Truncate(path, int64(m.highWater)*m.pageSize); err != nil {
					t.Fatal(err)
				}
			}
			outside := stuff(t, dir)
			q = mustOpen(t, path, Options{MinFree: -1})
			checkUnfinished(t, q, len(ids)-1)
			if how == "not closed" { // and copied from elsewhere: this file has no room left that it might use
				if err := os.Remove(outside); err != nil {
					t.Fatal(err)
				}
			}
			for _, j := range claimAll(t, q, start) {
				finish(t, q, j, start)
			}
			checkUnfinished(t, q, 0)
			mustEnqueue(t, q, message("more", random(1, segmentSize), "example.com"))
		})
	}
}

// The default floor of a small disk is a tenth of it, of which an event tells in time.
func TestDiskFloor(t *testing.T) {
	dir := mount(t, 48<<20)
	events := make(chan Event, 10)
	q := mustOpen(t, filepath.Join(dir, "mail.db"), Options{Observe: func(e Event) { events <- e }})
	n := fillUp(t, q, 100_000)
	free, size, _, _ := diskOf(q.file)
	if n < 100 || free > size/4 {
		t.Errorf("full after %d messages, with %d of %d octets free", n, free, size)
	}
	if e, ok := (<-events).(Filling); !ok || e.Limit != "MinFree" || e.Max != size-size/10 || e.Used < e.Max/5*4 || e.Used > e.Max/10*9 {
		t.Errorf("told %+v of a disk of %d octets", e, size)
	}
}

// Open of a new queue says what is wrong when nothing can be written.
func TestOpenUnwritable(t *testing.T) {
	dir := mount(t, 1<<20)
	path := filepath.Join(dir, "mail.db")
	q, err := Open(path, Options{})
	if err != nil || q.Close() != nil {
		t.Fatal(err)
	}
	stuff(t, dir)
	if _, err := Open(filepath.Join(dir, "new.db"), Options{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Open of a new queue on a full disk: %v", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mail.db", "new.db", "none.db"} {
		path := filepath.Join(dir, name)
		failed := (*os.PathError)(nil)
		if _, err := Open(path, Options{}); !errors.Is(err, syscall.EROFS) || !errors.As(err, &failed) || failed.Path != path {
			t.Errorf("Open of %s on a read-only disk: %v", name, err)
		}
	}
}

// A file for whose copy there is no room is not compacted, and can be used as it is.
func TestCompactDiskFull(t *testing.T) {
	from, left := drainedFile(t, 100, 9000)
	dir := mount(t, 16<<20)
	path := filepath.Join(dir, "mail.db")
	copyFile(t, from, path)
	outside := stuff(t, dir)
	if err := Compact(path, Options{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Compact on a full disk: %v", err)
	}
	same := func() bool {
		before, err := os.ReadFile(from)
		after, err2 := os.ReadFile(path)
		return err == nil && err2 == nil && bytes.Equal(before, after)
	}
	if names, err := filepath.Glob(path + "?*"); len(names) > 0 || err != nil || !same() {
		t.Errorf("left behind: %q, error %v; the file is the same: %v", names, err, same())
	}
	if err := os.Remove(outside); err != nil {
		t.Fatal(err)
	}
	if err := Compact(path, Options{}); err != nil || same() {
		t.Errorf("Compact when there is room: %v", err)
	}
	checkCopied(t, path, left, 9000)
}

// On a disk that can only be read a queue isn't opened, the error says why, and nothing is lost by trying.
func TestReadOnlyDisk(t *testing.T) {
	dir := mount(t, 8<<20)
	path := filepath.Join(dir, "mail.db")
	q, err := Open(path, Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	mustEnqueue(t, q, message("a", random(1, 1000), "example.com"))
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	_, err = Open(path, Options{MinFree: -1})
	wantPathError(t, path, err, syscall.EROFS)
	_, err = Open(filepath.Join(dir, "new.db"), Options{MinFree: -1})
	wantPathError(t, filepath.Join(dir, "new.db"), err, syscall.EROFS)
	remount(0)
	q = mustOpen(t, path, Options{MinFree: -1})
	checkBody(t, q, "a", random(1, 1000))
}
