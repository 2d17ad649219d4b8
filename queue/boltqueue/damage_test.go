package boltqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// sample is a file with a bit of everything, enough of it that buckets branch.
func sample(t *testing.T) []byte {
	t.Helper()
	ctx := context.Background()
	path := filepath.Join(memoryDir(t), "mail.db")
	q, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		e := message(queue.ID(fmt.Sprintf("m%d", i)), random(i, 100*i), "a.example", "b.example", "c.example")
		e.Message.Labels = []string{"secret-label"}
		mustEnqueue(t, q, e)
	}
	mustEnqueue(t, q, message("large", random(1, 2*segmentSize), "a.example"))
	for _, j := range claimAll(t, q, start)[:20] {
		finish(t, q, j, start)
	}
	if err := errors.Join(q.Set(ctx, "note", []byte("value")), q.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, b []byte) (path string) {
	t.Helper()
	path = filepath.Join(memoryDir(t), "mail.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newest is the meta that counts in a file.
func newest(t *testing.T, b []byte) *meta {
	t.Helper()
	m, err := newestMeta(openRead(t, write(t, b)), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func wantPathError(t *testing.T, path string, err, want error) {
	t.Helper()
	pathErr := (*fs.PathError)(nil)
	if !errors.Is(err, want) || !errors.As(err, &pathErr) || pathErr.Path != path {
		t.Errorf("Open: error %v, want a *fs.PathError with the path and %q", err, want)
	}
}

// use does all that can be done with a queue and reports what went wrong first.
func use(q *Queue) error {
	ctx := context.Background()
	if _, err := q.Get(ctx, "note"); err != nil {
		return err
	}
	for j, err := range q.Jobs(ctx, queue.Filter{}) {
		if err != nil {
			return err
		}
		if r, err := q.Open(ctx, j.Key.ID); err == nil {
			if _, err := io.Copy(io.Discard, r); err != nil {
				return err
			}
		} else if !errors.Is(err, queue.ErrNotFound) {
			return err
		}
	}
	for _, f := range []queue.Filter{{Ended: true}, {Heads: true}} {
		for _, err := range q.Jobs(ctx, f) {
			if err != nil {
				return err
			}
		}
	}
	if _, err := q.Enqueue(ctx, message("new", nil, "a.example")); err != nil {
		return err
	}
	c, err := q.Claim(ctx, queue.ClaimRequest{Now: start.Add(24 * time.Hour), Lease: time.Hour, Limit: 1000, Expired: true})
	if err != nil {
		return err
	}
	for _, j := range c.Jobs[:min(3, len(c.Jobs))] {
		j.Recipients[0].State, j.Finished = queue.Delivered, start
		if err := q.Commit(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// A page that is gone is found out, when the file is opened or when the page is needed, and never ends the program.
func TestZeroedPages(t *testing.T) {
	b := sample(t)
	m := newest(t, b)
	found := 0
	for at := 2 * m.pageSize; at < int64(m.highWater)*m.pageSize; at += 3 * m.pageSize {
		damaged := bytes.Clone(b)
		clear(damaged[at : at+m.pageSize])
		path := write(t, damaged)
		q, err := Open(path, Options{})
		if err != nil {
			wantPathError(t, path, err, queue.ErrDamaged)
			found++
			continue
		}
		if err := use(q); err != nil {
			if !errors.Is(err, queue.ErrDamaged) {
				t.Errorf("page %d zeroed: %v", at/m.pageSize, err)
			}
			found++
		}
		if err := q.Close(); err != nil {
			t.Errorf("page %d zeroed: Close: %v", at/m.pageSize, err)
		}
	}
	if found < 7 {
		t.Errorf("only %d damaged pages were noticed", found)
	}
}

func TestCutFile(t *testing.T) {
	b := sample(t)
	m := newest(t, b)
	used := int64(m.highWater) * m.pageSize
	for _, size := range []int64{100, 511, m.pageSize, 2*m.pageSize - 1, 2 * m.pageSize, 4 * m.pageSize, used / 2, used - m.pageSize, used - 1} {
		path := write(t, b[:size])
		_, err := Open(path, Options{})
		wantPathError(t, path, err, queue.ErrDamaged)
	}
}

func TestOverwrittenFile(t *testing.T) {
	b := sample(t)
	m := newest(t, b)
	page := func(b []byte, id uint64) []byte { return b[int64(id)*m.pageSize:][:m.pageSize] }
	w := newWalker(openRead(t, write(t, b)), m)
	if err := w.walk(); err != nil {
		t.Fatal(err)
	}
	branch := uint64(0)
	for id := uint64(2); id < m.highWater; id++ {
		if w.uses(id) && native.Uint16(page(b, id)[8:]) == branchFlag {
			branch = id
		}
	}
	if branch == 0 {
		t.Fatal("no bucket of the sample branches")
	}
	tests := map[string]func(b []byte){
		"both metas":       func(b []byte) { b[pageHeader+20]++; b[m.pageSize+pageHeader+20]++ },
		"root is a leaf":   func(b []byte) { native.PutUint16(page(b, m.root)[8:], 0xffff) },
		"root elsewhere":   func(b []byte) { native.PutUint64(page(b, m.root), m.root+1) },
		"root overflows":   func(b []byte) { native.PutUint32(page(b, m.root)[12:], 1<<31) },
		"root's elements":  func(b []byte) { native.PutUint16(page(b, m.root)[10:], 0xfff0) },
		"root's keys":      func(b []byte) { native.PutUint32(page(b, m.root)[pageHeader+8:], 1<<31) },
		"branch to itself": func(b []byte) { native.PutUint64(page(b, branch)[pageHeader+8:], branch) },
		"branch to beyond": func(b []byte) { native.PutUint64(page(b, branch)[pageHeader+8:], m.highWater) },
	}
	for name, overwrite := range tests {
		t.Run(name, func(t *testing.T) {
			damaged := bytes.Clone(b)
			overwrite(damaged)
			path := write(t, damaged)
			_, err := Open(path, Options{})
			wantPathError(t, path, err, queue.ErrDamaged)
		})
	}
}

// A list of free pages that has changed would make bbolt overwrite pages in use. It is made anew.
func TestChangedFreelist(t *testing.T) {
	b := sample(t)
	m := newest(t, b)
	free := b[int64(m.freelist)*m.pageSize:]
	for at := 0; at < pageHeader+8*int(native.Uint16(free[10:])); at += 1 + at/2 {
		damaged := bytes.Clone(b)
		damaged[int(m.freelist)*int(m.pageSize)+at] ^= 1 << (at % 8)
		q := mustOpen(t, write(t, damaged), Options{})
		checkPages(t, q)
		if err := errors.Join(use(q), q.Close()); err != nil {
			t.Fatalf("octet %d of the freelist: %v", at, err)
		}
	}
}

func openRead(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// One invalid meta is what a crash while it was written leaves: the state before counts.
func TestOneMeta(t *testing.T) {
	b := sample(t)
	m := newest(t, b)
	for _, offset := range []int64{0, m.pageSize} {
		for i := int64(0); i < metaSize; i += 4 { // an octet of each field
			damaged := bytes.Clone(b)
			damaged[offset+pageHeader+i] ^= 0x40
			q, err := Open(write(t, damaged), Options{})
			if err != nil {
				t.Fatalf("octet %d of the meta at %d: %v", i, offset, err)
			}
			if err := errors.Join(use(q), q.Close()); err != nil {
				t.Fatalf("octet %d of the meta at %d: %v", i, offset, err)
			}
		}
	}
}

// An octet that changed in a record is found out by the record's checksum.
func TestChangedRecords(t *testing.T) {
	b := sample(t)
	for _, text := range []string{"secret-label", "user@b.example"} {
		damaged := bytes.ReplaceAll(b, []byte(text), bytes.ToUpper([]byte(text)))
		q := mustOpen(t, write(t, damaged), Options{})
		if err := use(q); !errors.Is(err, queue.ErrDamaged) {
			t.Errorf("%q changed: error %v", text, err)
		}
	}
}

func TestOtherFiles(t *testing.T) {
	for name, tt := range map[string]struct {
		content []byte
		want    error
	}{
		"text":        {[]byte("From: a text file\n"), queue.ErrDamaged},
		"long text":   {bytes.Repeat([]byte("From: a text file\n"), 10_000), queue.ErrDamaged},
		"other bbolt": {otherFile(t, "accounts"), queue.ErrDamaged},
		"half":        {otherFile(t, fileBucket), queue.ErrDamaged},
		"newer":       {newerFile(t), queue.ErrVersion},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, tt.content)
			_, err := Open(path, Options{})
			wantPathError(t, path, err, tt.want)
			if after, err := os.ReadFile(path); err != nil || len(after) != len(tt.content) {
				t.Errorf("the file was touched: %d octets, were %d (%v)", len(after), len(tt.content), err)
			}
		})
	}
}

// An empty file is a new queue, and so is one of which a power loss has left some of what was written first.
func TestUnbornFile(t *testing.T) {
	fresh := newFile(os.Getpagesize())
	path := newPath(t)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadFile(path)
	if err := errors.Join(err, db.Close()); err != nil || !bytes.Equal(made, fresh) {
		t.Fatalf("bbolt makes another file (%v)", err)
	}
	zeroed := func(from, to int) []byte {
		b := bytes.Clone(fresh)
		clear(b[from:to])
		return b
	}
	n := len(fresh)
	for i, b := range [][]byte{nil, fresh, zeroed(0, n), zeroed(0, n/4), zeroed(n/4, n/2), zeroed(n/2, n), zeroed(3*n/4, n), fresh[:512], fresh[:n/2], fresh[:n-1]} {
		q, err := Open(write(t, b), Options{})
		if err == nil {
			err = errors.Join(use(q), q.Close())
		}
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	fresh[2*n/4+100]++
	if _, err := Open(write(t, fresh[:n-1]), Options{}); !errors.Is(err, queue.ErrDamaged) {
		t.Errorf("something else: error %v", err)
	}
}

// otherFile is a bbolt file with one bucket.
func otherFile(t *testing.T, bucket string) []byte {
	return edited(t, newPath(t), func(b *bolt.Tx) error {
		_, err := b.CreateBucket([]byte(bucket))
		return err
	})
}

// newerFile is a queue whose next version has opened it.
func newerFile(t *testing.T) []byte {
	return edited(t, write(t, sample(t)), func(b *bolt.Tx) error {
		key := []byte("opened")
		record := []byte{format + 1, 1, 2, 3, 0, 0, 0, 0}
		native := record[:len(record)-4]
		sum := checksum(key, native)
		copy(record[4:], []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
		return b.Bucket([]byte(fileBucket)).Put(key, record)
	})
}

func edited(t *testing.T, path string, edit func(*bolt.Tx) error) []byte {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(edit), db.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sealFreelist(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestUnusablePaths(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a folder":             dir,
		"a missing folder":     filepath.Join(dir, "missing", "mail.db"),
		"a file for a folder":  filepath.Join(file, "mail.db"),
		"nothing can be made":  "/proc/mail.db",
		"a device":             os.DevNull,
		"nothing":              "",
		"a name that can't be": filepath.Join(dir, "mail\x00.db"),
	} {
		q, err := Open(path, Options{})
		pathErr := (*fs.PathError)(nil)
		if q != nil || !errors.As(err, &pathErr) || pathErr.Path != path {
			t.Errorf("Open of %s: error %v, want a *fs.PathError with the path", name, err)
		}
	}
}

func TestReadOnlyFile(t *testing.T) {
	path := write(t, sample(t))
	_, err := Open(path, Options{OpenFile: func(name string, _ int, perm os.FileMode) (*os.File, error) {
		return os.OpenFile(name, os.O_RDONLY, perm)
	}})
	pathErr := (*fs.PathError)(nil)
	if !errors.As(err, &pathErr) || pathErr.Path != path {
		t.Errorf("error %v, want a *fs.PathError with the path", err)
	}
}
