package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
)

// timeline tells the story as it happens: it is the Sender's Observer. It also keeps what it was told, for the scenes to
// look at (wait.go).
type timeline struct {
	out    io.Writer
	colour bool
	began  time.Time

	mu       sync.Mutex // guards what follows, and out
	attempts map[queue.ID][]delivery.Attempted
	bounces  map[queue.ID]delivery.Bounced
	dead     []string      // names of hosts that could not be connected to
	changed  chan struct{} // closed and replaced when one of them grows
}

func newTimeline(out io.Writer, colour bool) *timeline {
	return &timeline{
		out: out, colour: colour, began: time.Now(),
		attempts: make(map[queue.ID][]delivery.Attempted),
		bounces:  make(map[queue.ID]delivery.Bounced),
		changed:  make(chan struct{}),
	}
}

// ink is an ANSI colour.
type ink string

const (
	bold   ink = "1"
	dim    ink = "2"
	red    ink = "31"
	green  ink = "32"
	yellow ink = "33"
	cyan   ink = "36"
)

// wantsColour reports whether f is a terminal whose user has nothing against colour (https://no-color.org).
func wantsColour(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func (t *timeline) paint(i ink, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + string(i) + "m" + s + "\x1b[0m"
}

func (t *timeline) print(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(t.out, s)
}

// say writes a line of its own.
func (t *timeline) say(format string, args ...any) { t.print(fmt.Sprintf(format, args...)) }

// scene writes a heading.
func (t *timeline) scene(n int, title string) {
	t.print("\n" + t.paint(bold, fmt.Sprintf("%d. %s", n, title)))
}

// right and wrong close a scene.
func (t *timeline) right(promise string) { t.print("  " + t.paint(green, "✓ "+promise)) }

func (t *timeline) wrong(err error) {
	for line := range strings.Lines(err.Error()) {
		t.print("  " + t.paint(red, "✗ not as promised: "+strings.TrimSuffix(line, "\n")))
	}
}

// tell writes what happened now, such as "delivered".
func (t *timeline) tell(i ink, what, format string, args ...any) {
	at := t.paint(dim, fmt.Sprintf("%6.2fs", time.Since(t.began).Seconds()))
	t.print(fmt.Sprintf("%s  %s %s", at, t.paint(i, fmt.Sprintf("%-10s", what)), fmt.Sprintf(format, args...)))
}

// quote writes lines of a document.
func (t *timeline) quote(lines ...string) {
	for _, line := range lines {
		t.print("         " + t.paint(dim, "│ ") + line)
	}
}

// Observe tells of an event, as a Sender's Observer.
func (t *timeline) Observe(e delivery.Event) {
	switch e := e.(type) {
	case delivery.Queued:
		t.tell(cyan, "queued", "for %s: safe on disk", strings.Join(e.To, ", "))
	case delivery.Attempted:
		t.attempted(&e)
	case delivery.Bounced:
		t.tell(red, "bounced", "%s: a report to %s was queued in the same commit", addresses(e.Recipients), e.Message.From)
	case delivery.Trouble:
		t.tell(red, "trouble", "%v", e.Err)
	}
	t.keep(e)
}

func (t *timeline) attempted(e *delivery.Attempted) {
	who := e.Recipient
	if e.Message.From == "" {
		who = "report to " + who
	}
	switch e.Outcome {
	case delivery.OutcomeDelivered:
		t.tell(green, "delivered", "%s by %s: %d %s%s", who, e.Reply.Host, e.Reply.Code, e.Reply.Enhanced, over(e.TLS))
	case delivery.OutcomeUncertain:
		t.tell(yellow, "uncertain", "%s: %s hung up after the final dot", who, e.Reply.Host)
	case delivery.OutcomeDeferred:
		t.tell(yellow, "deferred", "%s by %s: %s", who, e.Reply.Host, said(e.Reply))
	default:
		t.tell(red, "failed", "%s by %s: %s", who, e.Reply.Host, said(e.Reply))
	}
	if !e.Due.IsZero() {
		t.quote(fmt.Sprintf("next attempt in %.1fs", time.Until(e.Due).Seconds()))
	}
}

func over(tls string) string {
	if tls == "" {
		return ""
	}
	return " over " + tls
}

// said is a reply on one line.
func said(r queue.Reply) string {
	words := []string{r.Enhanced, strings.ReplaceAll(r.Text, "\n", " ")}
	if r.Code != 0 {
		words = append([]string{fmt.Sprint(r.Code)}, words...)
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

func addresses(to []queue.Recipient) string {
	var list []string
	for _, r := range to {
		list = append(list, r.Address)
	}
	return strings.Join(list, ", ")
}

// unreachable tells that nobody listens at a host's address.
func (t *timeline) unreachable(name, address string) {
	t.tell(yellow, "dead", "%s: nobody listens at %s", name, address)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dead = append(t.dead, name)
}

// sumUp closes the story.
func (t *timeline) sumUp(scenes, right int) {
	took := time.Since(t.began).Seconds()
	if right < scenes {
		t.print("\n" + t.paint(red, fmt.Sprintf("%d of %d scenes went as promised, in %.1fs.", right, scenes, took)))
		return
	}
	delivered, failed := t.count()
	t.print("\n" + t.paint(bold, fmt.Sprintf("All %d scenes went as promised, in %.1fs.", scenes, took)))
	t.say("%d recipients have their mail, %d failed and the sender knows; nothing was lost, and nothing", delivered, failed)
	t.say("arrived twice. Each scene is a function in examples/quickstart, to be read and changed.")
}
