//go:build unix && !solaris && !aix

package boltqueue

import (
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/postroad/postroad/queue"
)

// lock takes the lock that bbolt will find taken by this very descriptor, so that nobody changes the file between the check
// and the opening.
func lock(f *os.File, wait time.Duration) error {
	const pause = 25 * time.Millisecond
	for end := time.Now().Add(wait); ; time.Sleep(pause) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return os.NewSyscallError("flock", err)
		case !time.Now().Before(end):
			return queue.ErrLocked
		}
	}
}
