package boltqueue

import (
	"cmp"
	"os"
	"time"
)

// Options are what [Open] may be told. The zero value is a good choice.
type Options struct {
	// LockWait is how long Open waits for another process to close the file. A program that is replaced while it runs
	// needs as long as its predecessor takes to drain. Defaults to 2 seconds; a negative value doesn't wait.
	LockWait time.Duration
	// Retention is how long a finished message is kept to recognise its ID and to be listed, without its body. Since a
	// queue reads no clock, it is measured from the time the message finished to the latest time named by what is
	// enqueued, finished or claimed. Messages go a few at a time: with each change some 16 jobs, or twice as many as the
	// transaction has changes, and when there are none up to 256 with the first claim in each second. Defaults to 8 days: whoever asks
	// a week later gets an answer, whatever the hour.
	Retention time.Duration

	// MaxBytes, MaxMessages and MinFree are limits to what comes in: beyond them Enqueue and EnqueueAll return
	// [queue.ErrFull], which says which limit it was, before a body is read if that is known by then. Nothing else is refused:
	// Commit, with the messages that it enqueues, and Set go on.

	// MaxBytes is how many octets of the file may be in use: by bodies, by the records of messages, and by those of finished
	// messages until Retention is over. What is free within the file doesn't count. What one transaction brings in, up to
	// 4 MiB, is estimated, so there may be a little more. Defaults to 0, no limit.
	MaxBytes int64
	// MaxMessages is how many unfinished messages there may be. Defaults to 0, no limit.
	MaxMessages int
	// MinFree is how many octets of the file system must stay free; what is free within the file counts, too. Defaults to
	// 64 MiB, but no more than a tenth of the file system. If it is negative only the end of the disk is a limit. It is heeded on Linux,
	// macOS, FreeBSD and DragonFly BSD.
	MinFree int64

	// Observe, if not nil, is told what goes on in the queue that no caller hears. It is called by one goroutine at a time,
	// for which the queue doesn't wait: it may use the queue, and is called some time after the event, or before Open has
	// returned. A panic in it is caught. Of more than 1000 events that wait for it the later ones are lost.
	Observe func(Event)
	// OpenFile opens the file, and the one that takes its place when it is compacted. Defaults to os.OpenFile.
	OpenFile func(name string, flag int, perm os.FileMode) (*os.File, error)
}

func (o Options) withDefaults() Options {
	o.LockWait = cmp.Or(o.LockWait, 2*time.Second)
	o.Retention = cmp.Or(o.Retention, 8*24*time.Hour)
	if o.OpenFile == nil {
		o.OpenFile = os.OpenFile
	}
	return o
}
