// Quickstart shows what Postroad promises, in a few seconds and without any set-up:
//
//	go run ./examples/quickstart
//
// It starts a name server and mail servers on loopback addresses, some of which misbehave, sends mail to them through one
// queue file, and checks what has arrived. It exits with status 1 if anything is not as promised.
//
// Each scene is a function that can be read by itself: scenes.go begins with the list of them. What a host program has to
// do to send mail is in outbox.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/postroad/postroad/smtpclient/smtptest"
)

const (
	sceneLimit = 5 * time.Second  // a scene takes 3 seconds at most
	playLimit  = 17 * time.Second // all of them
	hardLimit  = 20 * time.Second // when even the cleaning up hangs
)

func main() {
	if file := os.Getenv(childFile); file != "" {
		os.Exit(child(file))
	}
	time.AfterFunc(hardLimit, func() {
		fmt.Fprintf(os.Stderr, "quickstart: not as promised: it has not ended after %v\n", hardLimit)
		os.Exit(1)
	})
	// Whatever ends this early, a closed pipe at stdout included, cleaning up comes first.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	defer stop()
	p := play{scenes: scenes(), out: os.Stdout, colour: wantsColour(os.Stdout)}
	os.Exit(p.run(ctx))
}

// play is one performance.
type play struct {
	scenes []scene
	out    io.Writer
	colour bool
	// prepare, if not nil, may change a mail server before it starts.
	prepare func(*smtptest.Server)
}

// run plays the scenes and returns the exit status.
func (p *play) run(ctx context.Context) int {
	ctx, cancel := context.WithTimeoutCause(ctx, playLimit, fmt.Errorf("the scenes were not over after %v", playLimit))
	defer cancel()
	t := newTimeline(p.out, p.colour)
	t.say("Postroad is mail delivery inside a Go program. Enqueue returns once a message is safe on disk;")
	t.say("from then on every recipient is owed an end: delivered, or reported to the sender as failed.")
	t.say("Here is what becomes of %d messages to real mail servers on loopback, few of them well.", len(p.scenes))
	right, err := p.playAll(ctx, t)
	if err != nil {
		t.wrong(err)
	}
	t.sumUp(len(p.scenes), right)
	if err != nil || right < len(p.scenes) {
		return 1
	}
	return 0
}

// playAll plays every scene, whatever became of those before, and returns how many went as promised.
func (p *play) playAll(ctx context.Context, t *timeline) (right int, err error) {
	w, err := newWorld(t, p.prepare)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	for i, s := range p.scenes {
		if ctx.Err() != nil {
			return right, context.Cause(ctx)
		}
		t.scene(i+1, s.title)
		if err := playOne(ctx, w, s); err != nil {
			t.wrong(err)
			continue
		}
		t.right(s.promise)
		right++
	}
	return right, nil
}

func playOne(ctx context.Context, w *world, s scene) error {
	ctx, cancel := context.WithTimeoutCause(ctx, sceneLimit, fmt.Errorf("the scene was not over after %v", sceneLimit))
	defer cancel()
	return s.play(ctx, w)
}
