package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/postroad/postroad/queue"
)

// A queue that is being moved has another name, so that no program goes on with it by mistake, and one more when it has been
// moved. The names also tell how far an earlier move has come.
const (
	asMoving = "moving"
	asMoved  = "moved"
)

// place is where a queue is: a file, or a schema. as is what is added to its name, "" for nothing.
type place interface {
	fmt.Stringer
	exists(ctx context.Context, as string) (bool, error)
	// rename fails if somebody works on the queue.
	rename(ctx context.Context, from, to string) error
	// open makes the queue if there is none.
	open(ctx context.Context, as string) (opened, error)
}

type opened interface {
	queue.Queue
	Close() error
}

// at is the place that an argument names. schema is for databases.
func at(address, schema string) place {
	if strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://") {
		return &database{url: address, schema: schema}
	}
	return file(address)
}

// takeAway renames the queue, or finds that this was done before.
func takeAway(ctx context.Context, p place) error {
	var there [3]bool
	for i, as := range []string{"", asMoving, asMoved} {
		var err error
		if there[i], err = p.exists(ctx, as); err != nil {
			return err
		}
	}
	switch plain, moving, moved := there[0], there[1], there[2]; {
	case moved && (plain || moving):
		return fmt.Errorf("%w: %s was moved before; put what is left of that out of the way first", fs.ErrExist, p)
	case moved:
		return fmt.Errorf("%w: %s has been moved already", fs.ErrNotExist, p)
	case moving:
		return nil
	case plain:
		return p.rename(ctx, "", asMoving)
	}
	return fmt.Errorf("%w: %s", fs.ErrNotExist, p)
}

// errInUse is for queues that others work on.
var errInUse = errors.New("it is in use; stop the programs that use it, and repeat the command")
