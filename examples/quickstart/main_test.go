package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/postroad/postroad/smtpclient/smtptest"
)

// TestMain lets the test program be the child that is killed.
func TestMain(m *testing.M) {
	if file := os.Getenv(childFile); file != "" {
		os.Exit(child(file))
	}
	os.Exit(m.Run())
}

// perform plays p in a folder for temporary files of its own, and returns the exit status and what was printed.
func perform(t *testing.T, ctx context.Context, p play) (int, string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var out bytes.Buffer
	p.out = &out
	status := p.run(ctx)
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		t.Errorf("left behind: %s", f.Name())
	}
	checkGoroutines(t)
	return status, out.String()
}

var ours = regexp.MustCompile(`created by (github\.com/(postroad|miekg)/|go\.etcd\.io/)`)

// checkGoroutines waits until nothing that the play has started runs: what has just ended takes a moment to be gone.
func checkGoroutines(t *testing.T) {
	t.Helper()
	stacks := make([]byte, 1<<20)
	for range 1000 {
		n := runtime.Stack(stacks, true)
		if !ours.Match(stacks[:n]) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("goroutines are left:\n%s", stacks)
}

func TestEveryPromiseIsKept(t *testing.T) {
	status, out := perform(t, t.Context(), play{scenes: scenes()})
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
	for _, s := range scenes() {
		if !strings.Contains(out, ". "+s.title+"\n") || !strings.Contains(out, "  ✓ "+s.promise+"\n") {
			t.Errorf("%s: not shown, or not as promised", s.title)
		}
	}
	for line := range strings.Lines(out) {
		if utf8.RuneCountInString(line) > 101 {
			t.Errorf("wider than 100 columns: %s", line)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// A system with 127.0.0.1 alone shows the same.
func TestSingleAddress(t *testing.T) {
	list := []scene{find(t, "accepted"), find(t, "dead"), find(t, "exist")}
	prepare := func(s *smtptest.Server) { s.Addr = "127.0.0.1:0" }
	if status, out := perform(t, t.Context(), play{scenes: list, prepare: prepare}); status != 0 {
		t.Errorf("exit status %d\n%s", status, out)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupted"))
	status, out := perform(t, ctx, play{scenes: scenes()})
	if status != 1 || !strings.Contains(out, "✗ not as promised: interrupted\n") {
		t.Errorf("exit status %d\n%s", status, out)
	}
}

// swallow is a server that says it has taken a message, and has not.
const swallow = `S: 220 hello
C: *
S: 250 hello
C: *
S: 250 sender ok
C: *
S: 250 recipient ok
C: DATA
S: 354 go ahead
C: ...
C: .
S: 250 taken
C: QUIT
S: 221 bye
close
`

func TestBrokenPromises(t *testing.T) {
	script, err := smtptest.ParseScript("swallow", swallow)
	if err != nil {
		t.Fatal(err)
	}
	swallows := func(s *smtptest.Server) { s.Script = script }
	takesAll := func(s *smtptest.Server) { s.Reply = nil }
	refuses := func(s *smtptest.Server) {
		s.Reply = func(c smtptest.Command) string {
			if c.Verb == "RCPT" {
				return "550 5.1.1 no such user"
			}
			return ""
		}
	}
	for _, test := range []struct {
		scene, server string
		breaks        func(*smtptest.Server)
		want          string
	}{
		{"accepted", "mx.bakery.example", swallows, "messages that mx.bakery.example has: 0, where 1 was promised"},
		{"greylists", "mx.bank.example", takesAll, "attempts: delivered, where deferred, delivered was promised"},
		{"dead", "mx2.harbour.example", refuses, "attempts: failed, where delivered was promised"},
		{"lost", "mx1.island.example", takesAll, "attempts: delivered, where uncertain, delivered was promised"},
		{"exist", "mx.office.example", takesAll, "outcomes for eva, max and zoe: delivered, delivered, delivered"},
		{"exist", "mx.shop.example", refuses, "messages that mx.shop.example has: 0, where 1 was promised"},
		{"kill", "mx.vault.example", swallows, "messages that mx.vault.example has: 0, where 1 was promised"},
	} {
		t.Run(test.scene+" "+test.server, func(t *testing.T) {
			prepare := func(s *smtptest.Server) {
				if s.Name == test.server {
					test.breaks(s)
				}
			}
			list := []scene{find(t, test.scene)}
			status, out := perform(t, t.Context(), play{scenes: list, prepare: prepare})
			if status != 1 || !strings.Contains(out, "✗ not as promised: "+test.want) {
				t.Errorf("exit status %d, want 1 and %q\n%s", status, test.want, out)
			}
		})
	}
}

// find returns the scene with a word in its title.
func find(t *testing.T, word string) scene {
	t.Helper()
	for _, s := range scenes() {
		if strings.Contains(s.title, word) {
			return s
		}
	}
	t.Fatalf("no scene is about %q", word)
	return scene{}
}
