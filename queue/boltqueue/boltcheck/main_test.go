package main

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad/postroad/queue/boltqueue"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	path, salvaged := filepath.Join(dir, "mail.db"), filepath.Join(dir, "new.db")
	q, err := boltqueue.Open(path, boltqueue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"first", "second"} {
		if err := q.Set(context.Background(), key, []byte("value of "+key)); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	check := func(path, salvage string, problems int, says string, fails bool) {
		t.Helper()
		var text bytes.Buffer
		out := bufio.NewWriter(&text)
		n, err := run(path, salvage, out)
		out.Flush()
		if n != problems || !strings.Contains(text.String(), says) || (err != nil) != fails {
			t.Errorf("%d problems, error %v, and it said %q", n, err, text.String())
		}
	}
	check(path, "", 0, "", false)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(b, []byte("value of first"), []byte("value of worst")), 0o600); err != nil {
		t.Fatal(err)
	}
	check(path, "", 1, `wrong checksum at "first"`, false)
	check(path, salvaged, 1, "0 messages, 0 jobs, 1 notes", false)
	check(path, salvaged, 0, "", true) // there is a file
	check(salvaged, "", 0, "", false)
	check(filepath.Join(dir, "none.db"), "", 0, "", true)
}
