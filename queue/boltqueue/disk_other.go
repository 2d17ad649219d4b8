//go:build !linux && !darwin && !freebsd && !dragonfly

package boltqueue

import "os"

// diskOf knows nothing about the disk here.
func diskOf(*os.File) (free, size, taken int64, ok bool) { return 0, 0, 0, false }
