//go:build unix

package pgtest

import (
	"os/exec"
	"syscall"
)

// become makes c run as a user.
func become(c *exec.Cmd, uid, gid uint32) {
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
}
