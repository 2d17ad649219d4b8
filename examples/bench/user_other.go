//go:build !unix

package main

import "os/exec"

// runAs does nothing: there is no other user.
func runAs(*exec.Cmd, string) error { return nil }
