package dnsclient

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/postroad/postroad/mx"
)

// answer makes an Answer of a reply, following CNAMEs from name. Records that belong to other names are ignored. More means
// that the CNAMEs lead to a name which the reply says nothing about. CNAMEs that don't end are a failure of the server: names
// without records have a meaning.
func answer(reply *dns.Msg, name string, t uint16) (a mx.Answer, more bool) {
	a = mx.Answer{Authentic: reply.AuthenticatedData, Rcode: mx.Rcode(reply.Rcode)}
	ttl := ^uint32(0)
	for n := 0; ; n++ {
		alias := aliasOf(reply, name)
		if alias == nil || t == dns.TypeCNAME {
			break
		}
		if n == maxChain {
			return mx.Answer{Rcode: mx.ServFail}, false
		}
		name, ttl = dns.CanonicalName(alias.Target), min(ttl, alias.Hdr.Ttl)
		a.Canonical = withoutDot(name)
	}
	for _, rr := range reply.Answer {
		h := rr.Header()
		if a.Rcode != mx.Success || h.Rrtype != t || h.Class != dns.ClassINET || dns.CanonicalName(h.Name) != name {
			continue
		}
		if record, ok := record(rr); ok {
			a.Records, ttl = append(a.Records, record), min(ttl, h.Ttl)
		}
	}
	if len(a.Records) == 0 {
		more = a.Canonical != "" && a.Rcode == mx.Success && !hasType(reply.Ns, dns.TypeSOA)
		if !more {
			ttl = min(ttl, negativeTTL(reply))
		}
	}
	a.TTL = time.Duration(ttl) * time.Second
	return a, more
}

// aliasOf returns the CNAME that a reply has for a name, or nil.
func aliasOf(reply *dns.Msg, name string) *dns.CNAME {
	for _, rr := range reply.Answer {
		if c, ok := rr.(*dns.CNAME); ok && c.Hdr.Class == dns.ClassINET && dns.CanonicalName(c.Hdr.Name) == name {
			return c
		}
	}
	return nil
}

// record returns what a resource record says.
func record(rr dns.RR) (mx.Record, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		addr, ok := netip.AddrFromSlice(rr.A.To4())
		return mx.Record{Addr: addr}, ok
	case *dns.AAAA:
		addr, ok := netip.AddrFromSlice(rr.AAAA.To16())
		return mx.Record{Addr: addr}, ok
	case *dns.CNAME:
		return mx.Record{Host: withoutDot(dns.CanonicalName(rr.Target))}, true
	case *dns.MX:
		return mx.Record{Preference: rr.Preference, Host: withoutDot(dns.CanonicalName(rr.Mx))}, true
	case *dns.TXT:
		return mx.Record{Text: unescape(strings.Join(rr.Txt, ""))}, true
	case *dns.TLSA:
		data, err := hex.DecodeString(rr.Certificate)
		return mx.Record{TLSA: mx.TLSA{Usage: rr.Usage, Selector: rr.Selector, Matching: rr.MatchingType, Data: data}}, err == nil
	}
	return mx.Record{}, false
}

// withoutDot returns an absolute name as package mx has it.
func withoutDot(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}

// unescape returns the octets of a text in which package dns has written some as \DDD or \X (RFC 1035, section 5.1).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 == len(s):
			out = append(out, s[i])
		case i+3 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) && isDigit(s[i+3]):
			out = append(out, (s[i+1]-'0')*100+(s[i+2]-'0')*10+s[i+3]-'0')
			i += 3
		default:
			i++
			out = append(out, s[i])
		}
	}
	return string(out)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// negativeTTL is how long the lack of records may be kept (RFC 2308, section 5).
func negativeTTL(reply *dns.Msg) uint32 {
	for _, rr := range reply.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(soa.Hdr.Ttl, soa.Minttl)
		}
	}
	return 0
}
