//go:build !unix

package smtpclient

// peek would need a socket that can be looked at without waiting. What the server has done is found out by the next command.
func peek(uintptr) bool { return false }
