//go:build !linux

package boltqueue

import "fmt"

func play(role, _ string) error { return fmt.Errorf("there is no role %q", role) }
