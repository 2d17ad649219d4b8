package boltqueue

import (
	"fmt"
	"os"
)

// play plays the roles of tests that are for Linux alone.
func play(role, path string) error {
	switch role {
	case "worker":
		return work(path, os.Getenv(firstMessage))
	case "cramped":
		return cramp(path)
	case "sufferer":
		return suffer(path)
	}
	return fmt.Errorf("there is no role %q", role)
}
