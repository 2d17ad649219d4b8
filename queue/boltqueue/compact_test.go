package boltqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// drainedFile makes the file of a closed queue of which all but a few messages were finished. They are what it returns.
func drainedFile(t *testing.T, n, size int) (path string, left []queue.ID) {
	t.Helper()
	path = newPath(t)
	q, err := Open(path, Options{Retention: time.Hour, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = q.EnqueueAll(context.Background(), func(yield func(*queue.Entry) bool) {
		for i := range n {
			if !yield(message(queue.ID(fmt.Sprintf("m%06d", i)), random(i, size), fmt.Sprintf("d%d.example", i%7))) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	jobs := claimAll(t, q, start)
	done := make(chan error)
	finishing := slices.DeleteFunc(jobs, func(j *queue.Job) bool {
		keep := len(left) < 5
		if keep {
			left = append(left, j.Key.ID)
		}
		return keep
	})
	for part := range slices.Chunk(finishing, max(1, (len(finishing)+63)/64)) {
		go func() {
			for i, j := range part {
				j.Recipients[0].State, j.Finished = queue.Delivered, start.Add(time.Duration(i)*time.Hour)
				if err := q.Commit(context.Background(), j); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range slices.Chunk(finishing, max(1, (len(finishing)+63)/64)) {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Set(context.Background(), "note", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	return path, left
}

// checkCopied opens a copy, or what was compacted, and looks whether everything is there.
func checkCopied(t *testing.T, path string, left []queue.ID, size int) {
	t.Helper()
	q := mustOpen(t, path, Options{})
	checkPages(t, q)
	checkIndexes(t, q)
	if got := list(t, q, queue.Filter{Unfinished: true}); len(got) != len(left) {
		t.Errorf("%d messages are there, want %d", len(got), len(left))
	}
	for _, id := range left {
		var n int
		if _, err := fmt.Sscanf(string(id), "m%d", &n); err != nil {
			t.Fatal(err)
		}
		checkBody(t, q, id, random(n, size))
	}
	if v, err := q.Get(context.Background(), "note"); err != nil || string(v) != "kept" {
		t.Errorf("the note is %q, error %v", v, err)
	}
	before := q.room.inUse()
	mustEnqueue(t, q, message("more", random(1, 5*segmentSize), "example.com"))
	for _, j := range claimAll(t, q, start) {
		finish(t, q, j, start)
	}
	checkPages(t, q)
	checkIndexes(t, q)
	if q.room.inUse() > before+256<<10 {
		t.Errorf("%d octets were in use, and when the rest was finished %d", before, q.room.inUse())
	}
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// A large file that is for the most part free becomes small when it is opened. A gigabyte with
// BOLTQUEUE_TEST_GIGABYTE=true; otherwise little more than what it takes for Open to do so.
func TestDrained(t *testing.T) {
	n, size := 1100, 64_000
	if os.Getenv("BOLTQUEUE_TEST_GIGABYTE") == "true" {
		n, size = 100_000, 10_000
	}
	path, left := drainedFile(t, n, size)
	if got := sizeOf(t, path); got < compactSize {
		t.Fatalf("the file has only %d octets", got)
	}
	link := filepath.Join(t.TempDir(), "link.db")
	if err := errors.Join(os.Symlink(path, link), os.Chmod(path, 0o640)); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	q, err := Open(link, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("opened in %v", time.Since(begin))
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if got := sizeOf(t, path); got > 10<<20 {
		t.Errorf("the drained file has %d octets", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file's mode is %v, error %v", info.Mode(), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link has become %v, error %v", info.Mode(), err)
	}
	checkCopied(t, path, left, size)
}

// Compact makes any file as small as what is in it, also if it was not closed, and removes what a crash of an earlier
// one has left.
func TestCompact(t *testing.T) {
	path, left := drainedFile(t, 300, 9000)
	closed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	q := mustOpen(t, path, Options{})
	mustEnqueue(t, q, message("m000999", random(999, 9000), "example.com"))
	crashed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"closed": closed, "not closed": crashed} {
		t.Run(name, func(t *testing.T) {
			left := slices.Clone(left)
			if name == "not closed" {
				left = append(left, "m000999")
			}
			path := write(t, b)
			if err := os.WriteFile(path+compactSuffix, []byte("half a copy"), 0o400); err != nil {
				t.Fatal(err)
			}
			if err := Compact(path, Options{}); err != nil {
				t.Fatal(err)
			}
			if got := sizeOf(t, path); got > 256<<10 {
				t.Errorf("the compacted file has %d octets of %d", got, len(b))
			}
			once, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := Compact(path, Options{}); err != nil {
				t.Fatal(err)
			}
			if twice, err := os.ReadFile(path); err != nil || !bytes.Equal(once[2*os.Getpagesize():], twice[2*os.Getpagesize():]) {
				t.Errorf("there was more to compact: %d octets, %d before, error %v", len(twice), len(once), err)
			}
			if names, err := filepath.Glob(path + "?*"); len(names) > 0 || err != nil {
				t.Errorf("left behind: %q, error %v", names, err)
			}
			checkCopied(t, path, left, 9000)
		})
	}
}

// A compaction that fails leaves the file as it is, and nothing else; Open goes on with it.
func TestCompactFails(t *testing.T) {
	path, left := drainedFile(t, 300, 9000)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unchanged := func(what string) {
		t.Helper()
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(b, now) {
			t.Errorf("%s: the file has changed (%v)", what, err)
		}
		if names, err := filepath.Glob(path + "?*"); len(names) > 0 || err != nil {
			t.Errorf("%s: left behind: %q, error %v", what, names, err)
		}
	}
	no := errors.New("no")
	for what, open := range map[string]func(string, int, os.FileMode) (*os.File, error){
		"no second file": func(name string, flag int, perm os.FileMode) (*os.File, error) {
			if name != path {
				return nil, no
			}
			return os.OpenFile(name, flag, perm)
		},
		"not writable": func(name string, flag int, perm os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, perm)
			if err == nil && name != path {
				err = f.Close()
				if err == nil {
					f, err = os.Open(name)
				}
			}
			return f, err
		},
	} {
		if err := Compact(path, Options{OpenFile: open}); err == nil {
			t.Errorf("%s: no error", what)
		}
		unchanged(what)
	}
	q := mustOpen(t, path, Options{})
	if err := Compact(path, Options{LockWait: -1}); !errors.Is(err, queue.ErrLocked) {
		t.Errorf("Compact of a queue in use: %v", err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Compact(path+"x", Options{}); !errors.Is(err, os.ErrNotExist) || sizeOf(t, path) == 0 {
		t.Errorf("Compact of no file: %v", err)
	}
	checkCopied(t, path, left, 9000)
}

// A file that is damaged somewhere is not compacted, whatever is wrong with it.
func TestCompactDamaged(t *testing.T) {
	path, _ := drainedFile(t, 6, 9000)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := newest(t, good)
	page := int(m.pageSize)
	failed := 0
	for id := 2; id < int(m.highWater); id++ {
		for _, damage := range []func(p []byte){
			func(p []byte) { clear(p) },
			func(p []byte) { native.PutUint64(p, uint64(id+1)) },
			func(p []byte) { native.PutUint32(p[12:], 1<<31) },
			func(p []byte) { native.PutUint64(p[pageHeader+8:], uint64(id)) },
		} {
			b := bytes.Clone(good)
			damage(b[id*page : (id+1)*page])
			path := write(t, b)
			if err := Compact(path, Options{}); err == nil {
				continue // it was a free page, or part of a body
			} else if !errors.Is(err, queue.ErrDamaged) {
				t.Errorf("page %d: %v", id, err)
			}
			failed++
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(b, now) {
				t.Errorf("page %d: the file has changed (%v)", id, err)
			}
		}
	}
	if failed < 20 {
		t.Errorf("only %d kinds of damage were noticed", failed)
	}
}

// await opens the queue, and says when it has found a file and when it has the queue.
func await(path string) error {
	q, err := Open(path, Options{LockWait: time.Minute, OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, perm)
		fmt.Println("found")
		return f, err
	}})
	if err != nil {
		return err
	}
	fmt.Println("open")
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, q.Close())
}

// compactOn compacts the file until it is killed.
func compactOn(path string) error {
	for {
		if err := Compact(path, Options{}); err != nil {
			return err
		}
		fmt.Println("compacted")
	}
}
