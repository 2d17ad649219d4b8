package boltqueue

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"time"
)

func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// written is how many octets this process has given to write calls so far: all that bbolt writes, however often it writes a page
// and whenever the system takes it to the disk.
func written() (int, error) { return procValue("/proc/self/io", "wchar") }

// anonymous is the memory of this process that is no file's, in octets.
func anonymous() (int, error) {
	kib, err := procValue("/proc/self/status", "RssAnon")
	return kib << 10, err
}

// cpuTime is what this process has used.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

// procValue reads a number from a file of lines like "name: number".
func procValue(file, name string) (n int, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(b, []byte(name+":"))
	_, err = fmt.Sscan(string(rest), &n)
	return n, err
}
