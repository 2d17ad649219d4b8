// Package mxtest has a name server for tests and demonstrations: a zone in a map that answers real DNS packets on loopback, and
// misbehaves when told to.
package mxtest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/dnsclient"
)

// Server is a name server with the authority over everything: names that it has no records for don't exist. All methods may
// be called at any time, by several goroutines.
type Server struct {
	addr    string
	servers [2]*dns.Server // UDP and TCP, on the same port
	closing chan struct{}
	close   func()

	mu      sync.Mutex // guards what follows
	zone    map[string][]dns.RR
	faults  map[string]Fault
	signed  map[string]bool
	queries map[dns.Question]int
}

// Fault is how a server misbehaves about a name. The fields can be combined.
type Fault struct {
	Rcode    mx.Rcode      // the answer is this code, such as mx.ServFail, without records
	Truncate bool          // answers by UDP are cut, so that the client has to ask by TCP
	Silent   bool          // there is no answer
	Delay    time.Duration // the answer comes this much later
	Forged   bool          // before the answer come forged ones: wrong number, name or type, and no such domain
	FoldCase bool          // the answer has the name in lower case, whatever it was asked in
	Times    int           // this many questions, then it is over; 0: until it is set anew
}

// NewServer starts a server on a free port of 127.0.0.1 with a zone of records, one to a line, as in a zone file: "example.org.
// MX 10 mx1.example.org.". Names without a dot at their end, and an empty zone, are allowed. A TTL that isn't given is an
// hour. The caller closes it.
func NewServer(records ...string) (*Server, error) {
	s := &Server{
		closing: make(chan struct{}),
		zone:    make(map[string][]dns.RR),
		faults:  make(map[string]Fault),
		signed:  make(map[string]bool),
		queries: make(map[dns.Question]int),
	}
	s.close = sync.OnceFunc(s.shutdown)
	if err := s.Add(records...); err != nil {
		return nil, err
	}
	udp, tcp, err := listen()
	if err != nil {
		return nil, fmt.Errorf("mxtest: %w", err)
	}
	s.addr = udp.LocalAddr().String()
	s.servers = [2]*dns.Server{{PacketConn: udp, Handler: s}, {Listener: tcp, Handler: s}}
	started := make(chan error, 2*len(s.servers)) // each sends when it has started and when it ends
	for _, server := range s.servers {
		server.NotifyStartedFunc = func() { started <- nil }
		go func() { started <- server.ActivateAndServe() }()
	}
	for range s.servers {
		if err := <-started; err != nil {
			s.Close()
			return nil, fmt.Errorf("mxtest: %w", err)
		}
	}
	return s, nil
}

// listen finds a port that is free for both protocols.
func listen() (net.PacketConn, net.Listener, error) {
	var failed error
	for range 10 {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp, nil
		}
		udp.Close()
		failed = err
	}
	return nil, nil, failed
}

// Addr returns the server's address and port, for UDP and TCP.
func (s *Server) Addr() string { return s.addr }

// DNS returns a client that asks this server, each time: it keeps no answers, so that changes are seen at once.
func (s *Server) DNS() mx.DNS {
	return &dnsclient.Client{Servers: []string{s.addr}, CacheSize: -1}
}

// Close stops the server and waits until it has stopped.
func (s *Server) Close() { s.close() }

func (s *Server) shutdown() {
	close(s.closing)
	for _, server := range s.servers {
		server.ShutdownContext(context.Background())
	}
}

// Add adds records to the zone.
func (s *Server) Add(records ...string) error {
	parsed, err := parse(records)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rr := range parsed {
		name := dns.CanonicalName(rr.Header().Name)
		s.zone[name] = append(s.zone[name], rr)
	}
	return nil
}

// Set replaces all records of a name, by none if none are given. Those given have to be of that name.
func (s *Server) Set(name string, records ...string) error {
	parsed, err := parse(records)
	if err != nil {
		return err
	}
	name = dns.CanonicalName(name)
	for _, rr := range parsed {
		if got := rr.Header().Name; dns.CanonicalName(got) != name {
			return fmt.Errorf("mxtest: a record of %s can't be set for %s", got, name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(parsed) == 0 {
		delete(s.zone, name)
		return nil
	}
	s.zone[name] = parsed
	return nil
}

// SetFault makes the server misbehave about a name, or behave again with Fault{}.
func (s *Server) SetFault(name string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[dns.CanonicalName(name)] = f
}

// SetAuthentic makes the server say, or no longer say, that it has validated by DNSSEC what it answers about a name, whether
// there are records or not. An answer that goes over CNAMEs is authentic if each name on its way is.
func (s *Server) SetAuthentic(name string, authentic bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signed[dns.CanonicalName(name)] = authentic
}

// Queries returns how often a name and type was asked for.
func (s *Server) Queries(name string, t mx.Type) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries[dns.Question{Name: dns.CanonicalName(name), Qtype: uint16(t), Qclass: dns.ClassINET}]
}

// parse reads records, one to a string.
func parse(records []string) ([]dns.RR, error) {
	var list []dns.RR
	for _, line := range records {
		if strings.ContainsAny(line, "\r\n$") { // no second line, no directive
			return nil, fmt.Errorf("mxtest: %q isn't one record", line)
		}
		rr, err := dns.NewRR(line)
		if err != nil {
			return nil, fmt.Errorf("mxtest: %q: %w", line, err)
		}
		if rr == nil || !hasData(rr) {
			return nil, fmt.Errorf("mxtest: %q isn't a record", line)
		}
		list = append(list, rr)
	}
	return list, nil
}

// hasData reports whether rr has anything after its type, and fits into a packet.
func hasData(rr dns.RR) bool {
	packet := make([]byte, dns.Len(rr))
	n, err := dns.PackRR(rr, packet, 0, nil, false)
	if err != nil {
		return false
	}
	packed, _, err := dns.UnpackRR(packet[:n], 0)
	return err == nil && packed.Header().Rdlength > 0
}
