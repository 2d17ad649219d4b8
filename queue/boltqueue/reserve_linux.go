package boltqueue

import (
	"errors"
	"os"
	"syscall"
)

// allocate has the disk give blocks to a range of f, without changing the size of f.
func allocate(f *os.File, from, n int64) error {
	const keepSize = 1
	for {
		err := syscall.Fallocate(int(f.Fd()), keepSize, from, n)
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fallocate", err)
		}
	}
}
