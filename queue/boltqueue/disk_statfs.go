//go:build linux || darwin || freebsd || dragonfly

package boltqueue

import (
	"os"
	"syscall"
)

// diskOf says how many octets of the file system that f is on are free for everybody, how many it has, and how many f takes up.
func diskOf(f *os.File) (free, size, taken int64, ok bool) {
	var s syscall.Statfs_t
	var t syscall.Stat_t
	if syscall.Fstatfs(int(f.Fd()), &s) != nil || syscall.Fstat(int(f.Fd()), &t) != nil {
		return 0, 0, 0, false
	}
	block := int64(s.Bsize)
	free = max(0, int64(s.Bavail)) * block
	return free, free + (int64(s.Blocks)-int64(s.Bfree))*block, int64(t.Blocks) * 512, true
}
