package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/mxtest"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// world is an internet that fits on loopback: a name server, and mail servers on addresses from 127.0.0.2 on, all with the same
// port. Where 127.0.0.1 is the only loopback address, as on macOS, the servers have a port each.
type world struct {
	*timeline
	dir     string // of queue files
	prepare func(*smtptest.Server)
	zone    *mxtest.Server
	home    *smtptest.Server // of the sender's own domain: reports of failure come here
	outbox  *outbox

	mu      sync.Mutex         // guards what follows
	servers []*smtptest.Server // the first one has the others' port
}

// newWorld makes a world with the sender's own domain, shop.example, and an outbox to send from.
func newWorld(t *timeline, prepare func(*smtptest.Server)) (w *world, err error) {
	w = &world{timeline: t, prepare: prepare}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.dir, err = os.MkdirTemp("", "quickstart"); err != nil {
		return nil, err
	}
	if w.zone, err = mxtest.NewServer(); err != nil {
		return nil, err
	}
	if w.home, err = w.host("shop.example", 10, "mx.shop.example", nil); err != nil {
		return nil, err
	}
	w.outbox, err = w.open(filepath.Join(w.dir, "mail.db"))
	return w, err
}

// host starts a mail server for a domain and adds its MX and address records to the zone.
func (w *world) host(domain string, preference int, name string, reply func(smtptest.Command) string) (*smtptest.Server, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &smtptest.Server{Name: name, StartTLS: true, Reply: reply}
	if w.prepare != nil {
		w.prepare(s)
	}
	if err := w.listen(s); err != nil {
		return nil, err
	}
	w.servers = append(w.servers, s)
	return s, w.zone.Add(
		fmt.Sprintf("%s. MX %d %s.", domain, preference, name),
		fmt.Sprintf("%s. A %s", name, addrPort(s).Addr()))
}

// listen starts s at the next address.
func (w *world) listen(s *smtptest.Server) error {
	switch {
	case len(w.servers) == 0:
		s.Addr = cmp.Or(s.Addr, "127.0.0.2:0")
		if s.Start() == nil {
			return nil
		}
		s.Addr = "127.0.0.1:0"
	case w.single():
		s.Addr = "127.0.0.1:0"
	default:
		s.Addr = fmt.Sprintf("127.0.0.%d:%d", 2+len(w.servers), addrPort(w.servers[0]).Port())
	}
	return s.Start()
}

// single reports whether all servers are at 127.0.0.1.
func (w *world) single() bool {
	return addrPort(w.servers[0]).Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// addrPort is where s listens.
func addrPort(s *smtptest.Server) netip.AddrPort { return netip.MustParseAddrPort(s.Addr) }

// router finds hosts by the MX records of the zone, as it would by those of the DNS.
func (w *world) router() mx.Router {
	resolver := &mx.Resolver{DNS: w.zone.DNS(), Port: addrPort(w.servers[0]).Port(), AllowPrivate: true}
	if !w.single() {
		return resolver
	}
	return mx.RouterFunc(func(ctx context.Context, domain string) (*mx.Route, error) {
		route, err := resolver.Route(ctx, domain)
		if err != nil {
			return nil, err
		}
		r := &mx.Route{Site: route.Site, Hosts: slices.Clone(route.Hosts)}
		for i := range r.Hosts {
			r.Hosts[i].Port = w.portOf(r.Hosts[i].Name)
		}
		return r, nil
	})
}

func (w *world) portOf(name string) uint16 {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.servers {
		if s.Name == name {
			return addrPort(s).Port()
		}
	}
	return 0
}

// dial connects as a Sender does by itself, and tells of hosts that are dead.
func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		w.unreachable(w.nameOf(address), address)
	}
	return conn, err
}

func (w *world) nameOf(address string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.servers {
		if s.Addr == address {
			return s.Name
		}
	}
	return "nobody"
}

// close ends everything, and leaves no file behind.
func (w *world) close() error {
	var err error
	if w.outbox != nil {
		err = w.outbox.close()
	}
	for _, s := range w.servers {
		s.Close()
	}
	if w.zone != nil {
		w.zone.Close()
	}
	if w.dir != "" {
		os.RemoveAll(w.dir)
	}
	return err
}
