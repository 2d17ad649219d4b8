//go:build !linux

package boltqueue

import (
	"errors"
	"os"
	"time"
)

func datasync(f *os.File) error { return f.Sync() }

func written() (int, error)           { return 0, errors.ErrUnsupported }
func anonymous() (int, error)         { return 0, errors.ErrUnsupported }
func cpuTime() (time.Duration, error) { return 0, errors.ErrUnsupported }
