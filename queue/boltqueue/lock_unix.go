//go:build unix && !solaris && !aix

package boltqueue

import (
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/postroad/postroad/queue"
)

// canCompact is whether a file can be put in the place of another that is open and locked.
const canCompact = true

// mapReserve is how much of the file is mapped beforehand, where that costs nothing but addresses: 16 GiB on 64 bits.
const mapReserve = 1 << (34 * (^uint(0) >> 63))

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

// alike gives f the mode and the owner of the file that info is about.
func alike(f *os.File, info os.FileInfo) error {
	if err := f.Chmod(info.Mode().Perm()); err != nil {
		return err
	}
	is, err := f.Stat()
	if err != nil {
		return err
	}
	have, _ := is.Sys().(*syscall.Stat_t)
	want, ok := info.Sys().(*syscall.Stat_t)
	if !ok || have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}
