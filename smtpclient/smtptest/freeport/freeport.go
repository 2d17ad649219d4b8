// Package freeport finds ports for servers that tests and benchmarks start, and that can't be given a listener.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are drawn from those that no system hands out by itself, to whoever listens on port 0 or connects: Linux begins with
// 32768, others with 49152. So nobody is given the port between the moment that it is closed and that the server listens there,
// or while the server is down.
const first, beyond = 10_000, 32_768

// Listen listens on a port of 127.0.0.1 that was free. The server may have it once the listener is closed.
func Listen() (net.Listener, error) {
	var failed error
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(beyond-first)))
		if err == nil {
			return l, nil
		}
		failed = err
	}
	return nil, failed
}
