package mxtest

import (
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	maxChain    = 10 // CNAMEs that one answer follows
	negativeTTL = 60 // seconds
)

// ServeDNS answers one question, as package dns wants it.
func (s *Server) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg).SetReply(query)
	if len(query.Question) != 1 {
		reply.Rcode = dns.RcodeFormatError
		w.WriteMsg(reply)
		return
	}
	question := query.Question[0]
	question.Name = dns.CanonicalName(question.Name)
	fault := s.note(question)
	if fault.Silent || !s.wait(fault.Delay) {
		return
	}
	if fault.Rcode != 0 {
		reply.Rcode = int(fault.Rcode)
	} else {
		s.fill(reply, question)
	}
	if fault.FoldCase {
		reply.Question[0].Name = question.Name
	}
	if _, udp := w.LocalAddr().(*net.UDPAddr); udp {
		fit(reply, query, fault.Truncate)
	} else {
		reply.Truncate(dns.MaxMsgSize)
	}
	if fault.Forged {
		for _, m := range forge(query) {
			w.WriteMsg(m)
		}
	}
	w.WriteMsg(reply)
}

// forge returns answers that are not to query, but look like it.
func forge(query *dns.Msg) []*dns.Msg {
	var list []*dns.Msg
	for _, change := range []func(*dns.Msg){
		func(m *dns.Msg) { m.Id++ },
		func(m *dns.Msg) { m.Question[0].Name = "forged." + m.Question[0].Name },
		func(m *dns.Msg) { m.Question[0].Qtype++ },
		func(m *dns.Msg) { m.Response = false },
		func(m *dns.Msg) { m.Question = nil },
	} {
		m := new(dns.Msg).SetRcode(query, dns.RcodeNameError)
		change(m)
		list = append(list, m)
	}
	return list
}

// note counts a question and returns how to misbehave about it.
func (s *Server) note(q dns.Question) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries[q]++
	fault := s.faults[q.Name]
	if fault.Times == 1 {
		delete(s.faults, q.Name)
	} else if fault.Times > 1 {
		fault.Times--
		s.faults[q.Name] = fault
	}
	return fault
}

// wait returns after d, or with false when the server is closed.
func (s *Server) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.closing:
		return false
	}
}

// fill puts into reply what the zone says.
func (s *Server) fill(reply *dns.Msg, q dns.Question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply.Authoritative, reply.RecursionAvailable = true, true
	name, found := q.Name, false
	reply.AuthenticatedData = true
	for range maxChain {
		reply.AuthenticatedData = reply.AuthenticatedData && s.signed[name]
		alias := ""
		for _, rr := range s.zone[name] {
			c, isAlias := rr.(*dns.CNAME)
			if isAlias {
				alias = dns.CanonicalName(c.Target)
			}
			if isAlias || rr.Header().Rrtype == q.Qtype {
				reply.Answer = append(reply.Answer, dns.Copy(rr))
				found = found || !isAlias
			}
		}
		if alias == "" || q.Qtype == dns.TypeCNAME {
			break
		}
		name = alias
	}
	if found {
		return
	}
	if !s.exists(name) {
		reply.Rcode = dns.RcodeNameError
	}
	reply.Ns = []dns.RR{&dns.SOA{
		Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: negativeTTL},
		Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: negativeTTL,
	}}
}

// exists reports whether the zone has the name, or one below it (RFC 8020).
func (s *Server) exists(name string) bool {
	if len(s.zone[name]) > 0 {
		return true
	}
	for other := range s.zone {
		if strings.HasSuffix(other, "."+name) {
			return true
		}
	}
	return false
}

// fit cuts a reply by UDP to what the client takes, or to nothing.
func fit(reply, query *dns.Msg, truncate bool) {
	size := dns.MinMsgSize
	if opt := query.IsEdns0(); opt != nil {
		size = int(opt.UDPSize())
		reply.SetEdns0(opt.UDPSize(), false)
	}
	reply.Truncate(size)
	if truncate {
		reply.Answer, reply.Ns, reply.Truncated = nil, nil, true
	}
}
