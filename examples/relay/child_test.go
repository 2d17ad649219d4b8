package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/postroad/postroad/mx/mxtest"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// The lines about attempts are a contract: these keys, with these types, one line for each recipient.
func TestAttemptLines(t *testing.T) {
	var mu sync.Mutex
	tries := map[string]int{}
	next := target(t, func(c smtptest.Command) string {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case c.Verb == "RCPT" && c.Address == "unknown@example.net":
			return "550 5.1.1 No such user"
		case c.Verb == "RCPT" && c.Address == "later@example.net" && tries["later"] == 0:
			tries["later"]++
			return "451 4.7.1 Greylisted"
		case c.Verb == "." && c.Message.To[0].Address == "lost@example.net" && tries["lost"] == 0:
			tries["lost"]++
			return smtptest.Close
		}
		return ""
	})
	c := startChild(t, queueFile(t), "-relay", "smtp://"+next.Addr, "-retry", "100ms")
	conn := hello(t, c.addr)
	conn.say("250 ", "MAIL FROM:<>")
	for _, to := range []string{"good", "unknown", "later"} {
		conn.say("250 ", "RCPT TO:<"+to+"@example.net>")
	}
	conn.say("354 ", "DATA")
	_, many, _ := strings.Cut(conn.say("250 ", simple("to three")+"\r\n."), "queued as ")
	c.wait(t, "attempt", 4)
	lost := conn.mail("a@example.org", "lost@example.net", simple("to one"))
	lines := c.wait(t, "attempt", 6)
	conn.conn.Close()
	c.stop()

	type line struct{ id, to, phase, code, outcome string }
	got := map[line]int{}
	for _, e := range lines {
		checkAttempt(t, e)
		got[line{e["id"].(string), e["to"].(string), e["phase"].(string), fmt.Sprint(e["code"]), e["outcome"].(string)}]++
		if e["host"] != "127.0.0.1" || e["addr"] != next.Addr {
			t.Errorf("host %v, addr %v", e["host"], e["addr"])
		}
		if from := map[string]string{many: "", lost: "a@example.org"}[e["id"].(string)]; e["from"] != from {
			t.Errorf("from %q, want %q", e["from"], from)
		}
		if e["to"] == "unknown@example.net" && (e["enhanced"] != "5.1.1" || e["text"] != "No such user") {
			t.Errorf("enhanced %v, text %v", e["enhanced"], e["text"])
		}
	}
	want := map[line]int{
		{many, "good@example.net", "body", "250", "delivered"}:  1,
		{many, "unknown@example.net", "rcpt", "550", "failed"}:  1,
		{many, "later@example.net", "rcpt", "451", "deferred"}:  1,
		{many, "later@example.net", "body", "250", "delivered"}: 1,
		{lost, "lost@example.net", "body", "0", "uncertain"}:    1,
		{lost, "lost@example.net", "body", "250", "delivered"}:  1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("lines: %v\nwant: %v", got, want)
	}
	for _, msg := range []string{"start", "queued", "bounced", "stop"} {
		if len(c.all(msg)) == 0 {
			t.Errorf("there is no line %q", msg)
		}
	}
}

func checkAttempt(t *testing.T, e event) {
	t.Helper()
	want := []string{"addr", "code", "enhanced", "from", "host", "id", "level", "msg", "outcome", "phase", "text", "time", "to", "took"}
	if keys := slices.Sorted(maps.Keys(e)); !slices.Equal(keys, want) {
		t.Errorf("keys %v, want %v", keys, want)
	}
	for key, value := range e {
		_, number := value.(float64)
		if _, text := value.(string); number != (key == "code" || key == "took") || number == text {
			t.Errorf("%s is %T", key, value)
		}
	}
}

// Two MX hosts, of which the better one is dead, and one that is private and not to be used without saying so.
func TestDirect(t *testing.T) {
	next := &smtptest.Server{Addr: "127.0.0.2:0"}
	if err := next.Start(); err != nil {
		t.Skipf("this machine has only one loopback address: %v", err)
	}
	t.Cleanup(next.Close)
	_, port, _ := net.SplitHostPort(next.Addr)
	dns, err := mxtest.NewServer(
		"example.net. MX 10 dead.example.net.",
		"example.net. MX 20 backup.example.net.",
		"dead.example.net. A 127.0.0.3",
		"backup.example.net. A 127.0.0.2",
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	c := startChild(t, queueFile(t), "-dns", dns.Addr(), "-port", port)
	hello(t, c.addr).mail("", "b@example.net", simple("direct"))
	e := c.wait(t, "attempt", 1)[0]
	if e["outcome"] != "delivered" || e["host"] != "backup.example.net" {
		t.Error(e)
	}
	c.stop()
	if n := len(next.Messages()); n != 1 {
		t.Errorf("%d messages", n)
	}

	c = startChild(t, queueFile(t), "-dns", dns.Addr(), "-port", port, "-allow-private=false")
	hello(t, c.addr).mail("", "b@example.net", simple("not direct"))
	e = c.wait(t, "attempt", 1)[0]
	if e["outcome"] != "deferred" || e["phase"] != "route" {
		t.Error(e)
	}
	c.stop()
}

// What was answered with 250 outlives a kill right after it, and arrives once.
func TestKill(t *testing.T) {
	stuck := target(t, func(c smtptest.Command) string {
		if c.Verb == "MAIL" {
			return smtptest.Stall
		}
		return ""
	})
	next := target(t, nil)
	file := queueFile(t)
	c := startChild(t, file, "-relay", "smtp://"+stuck.Addr)
	id := hello(t, c.addr).mail("a@example.org", "b@example.net", simple("survivor"))
	c.kill()

	c = startChild(t, file, "-relay", "smtp://"+next.Addr)
	if e := c.wait(t, "attempt", 1)[0]; e["id"] != id || e["outcome"] != "delivered" {
		t.Error(e)
	}
	c.kill()
	c = startChild(t, file, "-relay", "smtp://"+next.Addr)
	c.stop()

	if messages := next.Messages(); len(messages) != 1 || !strings.Contains(string(messages[0].Data), "\r\nSubject: survivor\r\n") {
		t.Errorf("messages: %v", messages)
	}
	q, err := boltqueue.Open(file, boltqueue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if left := stored(t, q, queue.Filter{Unfinished: true}); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// SIGTERM lets the message that is coming in finish; a relay that starts later delivers what was left.
func TestTerminate(t *testing.T) {
	next := target(t, nil)
	file := queueFile(t)
	c := startChild(t, file, "-relay", "smtp://"+next.Addr)
	idle, busy := hello(t, c.addr), hello(t, c.addr)
	busy.say("250 ", "MAIL FROM:<a@example.org>")
	busy.say("250 ", "RCPT TO:<b@example.net>")
	busy.say("354 ", "DATA")
	busy.send("Subject: x\r\n\r\nHel")
	c.cmd.Process.Signal(syscall.SIGTERM)
	idle.expect("421 ")
	busy.send("lo.\r\n.\r\n")
	busy.expect("250 2.0.0 ")
	if err := c.end(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}

	c = startChild(t, file, "-relay", "smtp://"+next.Addr)
	if _, err := next.Wait(newContext(t), 1); err != nil {
		t.Error(err)
	}
	c.stop()
	if n := len(next.Messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestOneProcess(t *testing.T) {
	file := queueFile(t)
	startChild(t, file, "-relay", "smtp://127.0.0.1:1")
	second := launch(t, file, "-relay", "smtp://127.0.0.1:1")
	err := second.end()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the second process ended with %v", err)
	}
	if text := fmt.Sprint(second.list); !strings.Contains(text, file) || !strings.Contains(text, queue.ErrLocked.Error()) {
		t.Errorf("the second process said %s", text)
	}
}

// Many messages on several connections at once, to servers that defer some: each arrives once.
func TestEachOnce(t *testing.T) {
	const clients, each = 10, 20
	var mu sync.Mutex
	seen := map[string]bool{}
	next := target(t, func(c smtptest.Command) string {
		mu.Lock()
		defer mu.Unlock()
		if n, err := strconv.Atoi(strings.TrimSuffix(c.Address, "@example.net")); c.Verb == "RCPT" && err == nil && n%10 == 0 && !seen[c.Address] {
			seen[c.Address] = true
			return "451 4.7.1 Greylisted"
		}
		return ""
	})
	c := startChild(t, queueFile(t), "-relay", "smtp://"+next.Addr, "-retry", "100ms")
	var senders sync.WaitGroup
	for i := range clients {
		conn := hello(t, c.addr)
		senders.Go(func() {
			for n := range each {
				if !conn.submit("a@example.org", fmt.Sprintf("%d@example.net", i*each+n), simple("one of many")) {
					t.Error("a message was refused")
				}
			}
			conn.conn.Close()
		})
	}
	senders.Wait()
	if _, err := next.Wait(newContext(t), clients*each); err != nil {
		t.Fatal(err)
	}
	c.wait(t, "attempt", clients*each+clients*each/10)
	c.stop()
	got := map[string]int{}
	for _, m := range next.Messages() {
		got[m.To[0].Address]++
	}
	for i := range clients * each {
		if to := fmt.Sprintf("%d@example.net", i); got[to] != 1 {
			t.Errorf("%s got %d copies", to, got[to])
		}
	}
	if len(next.Messages()) != clients*each {
		t.Errorf("%d messages", len(next.Messages()))
	}
}
