package mx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Relay is a Router that sends everything to one server, a smarthost. Since the host program names it, any address will do,
// and whatever is wrong with it is temporary trouble: nobody's mail bounces for a mistake in our configuration.
// [ParseRelay] makes one of a URL; its fields must not change once it is in use.
type Relay struct {
	// Host is a domain name, or an address without brackets.
	Host string
	// Port defaults to 465 if Implicit is set, else to 25.
	Port uint16
	// TLS is what to demand. With Auth set, anything less than Verified gives a password to whoever answers.
	TLS TLS
	// Implicit is TLS from the first octet instead of STARTTLS.
	Implicit bool
	// Auth logs in. Defaults to nil: no authentication.
	Auth *Credentials
	// NullSender is the address to give in place of the null sender, "<>", which reports have, to a relay that refuses it because
	// it takes mail of known senders only. NOTIFY=NEVER goes with it; but a host that doesn't know that, and can't deliver
	// a report, tells this address, and programs that answer mail may do so, too. What arrives there is to be dropped, or read
	// by people, and never to be answered, forwarded or reported on by a program: else two hosts may tell each other of their
	// troubles for ever. Defaults to none: "<>" is said.
	NullSender string
	// DNS looks Host up. Defaults to what the system does for any program, with its hosts file and search list.
	DNS DNS
}

// ParseRelay reads the URL of a relay:
//
//	smtp://host:port                  port 25 if none is given; STARTTLS if the host offers it
//	smtp+starttls://host:port         port 587; STARTTLS, with a certificate that proves the host's name
//	smtps://host:port                 port 465; TLS from the first octet, with such a certificate
//
// Each may have credentials, as in smtps://user:password@host, percent-encoded. With them, smtp also demands a certificate
// that proves the host's name, unless the host is localhost or a loopback address. Errors don't quote the URL, so that a
// password isn't logged with them.
func ParseRelay(rawURL string) (*Relay, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("mx: relay URL can't be parsed; special characters in a password are written as %XX")
	}
	if u.Opaque != "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, errors.New("mx: relay URL has more than scheme, credentials, host and port; special characters in a password are written as %XX")
	}
	r := &Relay{}
	switch u.Scheme {
	case "smtp":
		r.Port = 25
	case "smtp+starttls":
		r.Port, r.TLS = 587, Verified
	case "smtps":
		r.Port, r.TLS, r.Implicit = 465, Verified, true
	default:
		return nil, errors.New("mx: relay URL doesn't begin with smtp://, smtp+starttls:// or smtps://")
	}
	if r.Host, err = relayHost(u.Hostname()); err != nil {
		return nil, errors.New("mx: relay URL's host is neither a domain name nor an address")
	}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return nil, errors.New("mx: relay URL's port isn't 1 to 65535")
		}
		r.Port = uint16(n)
	}
	if u.User == nil {
		return r, nil
	}
	password, _ := u.User.Password()
	if u.User.Username() == "" || password == "" {
		return nil, errors.New("mx: relay URL's credentials aren't a user name and a password")
	}
	r.Auth = &Credentials{u.User.Username(), password}
	if !isLoopback(r.Host) {
		r.TLS = Verified
	}
	return r, nil
}

// relayHost returns a host in the form of [Relay.Host].
func relayHost(s string) (string, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap().String(), nil
	}
	return asciiName(s)
}

// isAddress reports whether s is a mail address that can stand in a command.
func isAddress(s string) bool {
	_, err := mail.ParseAddress("<" + s + ">")
	return err == nil && !strings.ContainsAny(s, "<> ")
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Route returns the relay, whatever the domain is. Its site is the relay's host and port.
func (r *Relay) Route(ctx context.Context, domain string) (*Route, error) {
	host, err := relayHost(r.Host)
	if err != nil {
		return nil, errNoAddress(domain, fmt.Errorf("relay host %q: %w", r.Host, err))
	}
	if s := r.NullSender; s != "" && !isAddress(s) {
		return nil, errNoAddress(domain, fmt.Errorf("relay %s: null sender %.100q is not a mail address", host, s))
	}
	ctx, cancel := context.WithTimeout(ctx, routeTimeout)
	defer cancel()
	addrs, err := r.addresses(ctx, host)
	if err != nil {
		return nil, errNoRoute(domain, fmt.Errorf("relay %s: %w", host, err))
	}
	port := uint16(25)
	if r.Implicit {
		port = 465
	}
	port = cmp.Or(r.Port, port)
	return &Route{
		Site: net.JoinHostPort(host, strconv.Itoa(int(port))),
		Hosts: []Host{{
			Name: host, Addrs: addrs[:min(len(addrs), maxAddrs)], Port: port,
			TLS: r.TLS, Implicit: r.Implicit, Auth: r.Auth, NullSender: r.NullSender, Secure: true,
		}},
	}, nil
}

func (r *Relay) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	dns := r.DNS
	if dns == nil {
		dns = searchDNS{}
	}
	return lookupAddrs(ctx, dns, host)
}

// searchDNS looks addresses up as any program on the system does.
type searchDNS struct{}

func (searchDNS) Lookup(ctx context.Context, name string, t Type) (Answer, error) {
	network := "ip4"
	if t == TypeAAAA {
		network = "ip6"
	}
	return lookupIP(ctx, net.DefaultResolver, network, name)
}
