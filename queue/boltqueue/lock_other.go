//go:build !unix || solaris || aix

package boltqueue

import (
	"os"
	"time"
)

// canCompact is whether a file can be put in the place of another that is open and locked.
const canCompact = false

// mapReserve is how much of the file is mapped beforehand: a file grows to what is mapped here.
const mapReserve = 0

// lock leaves locking to bbolt, whose way of doing it here can't be shared. The check of the file then comes before the
// lock, and may find fault with a file that another process is writing to.
func lock(*os.File, time.Duration) error { return nil }

// alike gives f the mode and the owner of the file that info is about.
func alike(*os.File, os.FileInfo) error { return nil }
