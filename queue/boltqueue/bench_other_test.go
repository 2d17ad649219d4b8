//go:build !linux

package boltqueue

import "os"

func datasync(f *os.File) error { return f.Sync() }
