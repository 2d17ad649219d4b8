package smtpclient_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
)

// startProxy is a SOCKS5 proxy (RFC 1928) for one connection, which leads to addr whatever is asked for.
func startProxy(addr string) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		client, err := l.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		if err := relay(client, addr); err != nil {
			log.Print(err)
		}
	}()
	return l
}

func relay(client net.Conn, addr string) error {
	hello, request := make([]byte, 3), make([]byte, 10) // one method; an IPv4 address
	if _, err := io.ReadFull(client, hello); err != nil {
		return err
	}
	client.Write([]byte{5, 0})
	if _, err := io.ReadFull(client, request); err != nil {
		return err
	}
	to := netip.AddrFrom4([4]byte(request[4:8]))
	fmt.Printf("the proxy connects to %v:%d\n", to, int(request[8])<<8|int(request[9]))
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer server.Close()
	client.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	go io.Copy(server, client)
	_, err = io.Copy(client, server)
	return err
}
