package boltqueue

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// unpack returns a compressed file of testdata.
func unpack(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A file that version 1 made is used as if it had been made today, and stays so.
func TestVersion1(t *testing.T) {
	path := write(t, unpack(t, "testdata/version1.db.gz"))
	for range 2 {
		q, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"finished/0", "half/0", "half/1", "held/0", "later/0", "waiting/0", "waiting/1"}
		if got := list(t, q, queue.Filter{}); !slices.Equal(got, want) {
			t.Errorf("jobs %q, want %q", got, want)
		}
		checkBody(t, q, "waiting", random(1, 3000))
		checkBody(t, q, "half", random(3, 2000))
		if note, err := q.Get(t.Context(), "pause/a.example"); string(note) != "until noon" || err != nil {
			t.Errorf("note %q, error %v", note, err)
		}
		for _, j := range claimAll(t, q, start) {
			if j.Key.ID == "held" || j.Key.ID == "finished" || j.Key.ID == "later" {
				t.Errorf("%q was claimed", j.Key)
			}
		}
		checkIndexes(t, q)
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		if got := fileVersion(t, path); got != uint64(1+len(upgrades())) {
			t.Errorf("the file has version %d now", got)
		}
	}
	if err := use(mustOpen(t, path, Options{})); err != nil {
		t.Error(err)
	}
}

// A new file is of the latest version.
func TestVersionOfNewFile(t *testing.T) {
	path := write(t, sample(t))
	if got := fileVersion(t, path); got != uint64(1+len(upgrades())) {
		t.Errorf("a new file has version %d", got)
	}
}

func fileVersion(t *testing.T, path string) (version uint64) {
	t.Helper()
	edited(t, path, func(b *bolt.Tx) (err error) {
		version, err = number(b.Bucket([]byte(fileBucket)), versionKey, 64)
		return err
	})
	return version
}

// A file of a later version is refused with an error that says which versions these are, and isn't changed.
func TestLaterVersion(t *testing.T) {
	known := 1 + len(upgrades())
	b := edited(t, write(t, sample(t)), func(b *bolt.Tx) error {
		return errors.Join(
			putNumber(b.Bucket([]byte(fileBucket)), versionKey, uint64(known+1)),
			b.DeleteBucket([]byte(jobsBucket))) // who knows what it keeps instead
	})
	path := write(t, b)
	_, err := Open(path, Options{})
	wantPathError(t, path, err, queue.ErrVersion)
	for _, word := range []string{fmt.Sprintf("version %d", known+1), fmt.Sprintf("up to %d", known)} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q doesn't say %q", err, word)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(after, b) {
		t.Error("the file was changed")
	}
}

func TestDamagedVersion(t *testing.T) {
	for name, edit := range map[string]func(file *bolt.Bucket) error{
		"version 0":   func(file *bolt.Bucket) error { return putNumber(file, versionKey, 0) },
		"no checksum": func(file *bolt.Bucket) error { return file.Put([]byte(versionKey), []byte{1, 2, 3, 4, 5, 6}) },
		"no number":   func(file *bolt.Bucket) error { return put(file, []byte(versionKey), nil) },
		"no count":    func(file *bolt.Bucket) error { return file.Delete([]byte(openedKey)) },
	} {
		path := write(t, sample(t))
		edited(t, path, func(b *bolt.Tx) error { return edit(b.Bucket([]byte(fileBucket))) })
		_, err := Open(path, Options{})
		if !errors.Is(err, queue.ErrDamaged) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// A file that version 4 made lists each end of its recipients, and has what is in its records.
func TestVersion4(t *testing.T) {
	path := write(t, unpack(t, "testdata/version4.db.gz"))
	if problems := checkFile(t, path); len(problems) > 0 {
		t.Errorf("Check: %q", problems)
	}
	q := mustOpen(t, path, Options{})
	checkIndexes(t, q)
	var ended []string
	since := queue.Mark(0)
	for j, err := range q.Jobs(t.Context(), queue.Filter{Ended: true}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, rcpt := range j.Recipients {
			if rcpt.Mark > since {
				ended = append(ended, rcpt.Address)
			}
		}
		since = j.Mark()
		if n := len(j.Attempts); j.Tries != n || n == 0 || j.Attempts[n-1].Uncertain != (n > 1) || j.Attempts[n-1].Reply.Text != "ok" {
			t.Errorf("the attempts at %s are %+v", j.Key, j.Attempts)
		}
		for i, rcpt := range j.Recipients {
			if uncertain := rcpt.State == queue.Delivered && i%2 == 1; rcpt.Uncertain != uncertain || rcpt.Report != "" {
				t.Errorf("%s has the recipient %+v", j.Key, rcpt)
			}
		}
	}
	want := []string{"ann@a.example", "cid@a.example", "eve@a.example", "dan@a.example", "fay@a.example", "gus@a.example"}
	if !slices.Equal(ended, want) {
		t.Errorf("what has ended is %q, want %q", ended, want)
	}
	if got := fileVersion(t, copied(t, q)); got != uint64(1+len(upgrades())) {
		t.Errorf("the file has version %d now", got)
	}
}
