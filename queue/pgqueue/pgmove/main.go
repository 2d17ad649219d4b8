// Command pgmove moves a mail queue from the file of boltqueue to a schema of pgqueue, or back, and loses and doubles no message.
//
//	pgmove mail.db postgres://mailer@db.example.com/shop
//	pgmove -schema mail postgres://mailer@db.example.com/shop mail.db
//
// The first address is where the queue is, the second where it is to be; what there is already stays, and what there isn't is made.
// Any combination will do. Package [github.com/postroad/postroad/queue/move] says what is kept, and what becomes of marks.
//
// First stop the programs that use the queue: a file that is locked, or a schema in which jobs are leased, is refused. Then start the
// command. When it has ended with status 0, start the programs with the new queue.
//
// Before anything is copied the file gets the name mail.db.moving, or the schema postroad_moving, so that no program that has not been
// told goes on with what is on its way to another place. Killed at any moment, the command is simply repeated. In the end the name is
// mail.db.moved, or postroad_moved: nothing in it is changed, and it can be deleted, but must not be used again. To give up a move that
// has not ended, delete what is in the new place, before anybody has used that, and give the old one its name back.
//
// A schema is renamed by its owner, who needs the right to create schemas.
//
// The exit status is 0 if everything is in its new place, 1 if messages are left behind because their bodies are damaged, which are then
// named and the old queue keeps the name that ends in moving, and 2 if the move could not be ended, and is to be repeated. It is 2 as well
// for a queue that has been moved already.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/postroad/postroad/delivery/suppress"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/move"
)

func main() {
	schema := flag.String("schema", "postroad", "the `name` of the schema in a database")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: pgmove [-schema name] from to\neach a file or a postgres:// URL")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	moved, err := run(ctx, at(flag.Arg(0), *schema), at(flag.Arg(1), *schema), os.Stdout)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "pgmove:", err)
		os.Exit(2)
	case moved.Unreadable > 0:
		os.Exit(1)
	}
}

// run moves a queue, and tells w how that went.
func run(ctx context.Context, from, to place, w io.Writer) (moved move.Moved, err error) {
	if err := takeAway(ctx, from); err != nil {
		return moved, err
	}
	source, err := from.open(ctx, asMoving)
	if err != nil {
		return moved, err
	}
	target, err := to.open(ctx, "")
	if err != nil {
		return moved, errors.Join(err, source.Close())
	}
	moved, err = move.All(ctx, source, target, move.Options{
		Cursors:    []string{suppress.CursorKey},
		Unreadable: func(id queue.ID, err error) { fmt.Fprintf(w, "%s stays behind: %v\n", id, err) },
	})
	if err = errors.Join(err, target.Close(), source.Close()); err != nil {
		return moved, err
	}
	if moved.Unreadable == 0 {
		err = from.rename(ctx, asMoving, asMoved)
	}
	fmt.Fprintf(w, "%s: %d messages on their way, %d finished, %d notes; %d messages stay behind\noutcomes go on behind mark %d\n",
		to, moved.Unfinished, moved.Finished, moved.Notes, moved.Unreadable, moved.Mark)
	return moved, err
}
