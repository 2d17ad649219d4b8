//go:build unix

package smtpclient

import "syscall"

// peek reports whether there is something to read on the socket, be it octets or their end, without waiting and without
// taking it.
func peek(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err != syscall.EAGAIN && err != syscall.EINTR
}
