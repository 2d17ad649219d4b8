package smtpclient

import (
	"net"
	"syscall"
	"time"
)

// idle looks at the socket of a session that waits for nothing. Who finds something there has been hung up on, or told
// "421".
type idle struct {
	socket syscall.RawConn // nil if it can't be had: then the next command finds out
	look   func(fd uintptr) bool
	found  bool
}

func (i *idle) watch(conn net.Conn) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	socket, err := c.SyscallConn()
	if err != nil {
		return
	}
	i.socket = socket
	i.look = func(fd uintptr) bool { // once, so that looking takes no memory
		i.found = peek(fd)
		return true
	}
}

// readable reports whether the server has said or done anything since its last answer.
func (w *wire) readable() bool {
	if w.r.Buffered() > 0 {
		return true
	}
	if w.idle.socket == nil {
		return false
	}
	w.idle.found = false
	if err := w.conn.SetReadDeadline(time.Time{}); err != nil { // that of the last answer may be over
		return true
	}
	return w.idle.socket.Read(w.idle.look) != nil || w.idle.found
}
