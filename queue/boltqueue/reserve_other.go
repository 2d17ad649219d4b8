//go:build !linux

package boltqueue

import (
	"os"
	"syscall"
)

// allocate only looks whether the disk has so many octets.
func allocate(f *os.File, from, n int64) error {
	if free, _, _, ok := diskOf(f); ok && free < n {
		return syscall.ENOSPC
	}
	return nil
}
