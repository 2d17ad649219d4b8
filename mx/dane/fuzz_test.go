package dane

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/postroad/postroad/mx"
)

// cutRecords makes records of octets: each has two for its length, then as in the DNS.
func cutRecords(data []byte) (list []mx.TLSA) {
	for len(data) >= 5 {
		n := min(3+int(binary.BigEndian.Uint16(data)), len(data)-2)
		r := data[2 : 2+n]
		list = append(list, mx.TLSA{Usage: r[0], Selector: r[1], Matching: r[2], Data: r[3:]})
		data = data[2+n:]
	}
	return list[:min(len(list), maxRecords)]
}

// joinRecords is the opposite.
func joinRecords(list ...mx.TLSA) (data []byte) {
	for _, r := range list {
		data = binary.BigEndian.AppendUint16(data, uint16(len(r.Data)))
		data = append(append(data, r.Usage, r.Selector, r.Matching), r.Data...)
	}
	return data
}

// Whatever the records and certificates are, one is accepted only if a record says it is the one, or that it is valid and
// proves a name under an anchor; and the order of records makes no difference.
func FuzzVerify(f *testing.F) {
	root := (*identity)(nil).issue(f, nil)
	leaf := root.issue(f, nil, "mx.example.org")
	chain := slices.Concat(leaf.Raw, root.Raw)
	for usage := range uint8(5) {
		for selector := range uint8(3) {
			for matching := range uint8(4) {
				f.Add(joinRecords(leaf.tlsa(usage, selector, matching), root.tlsa(usage, selector, matching)), chain, "mx.example.org")
			}
		}
	}
	f.Add(joinRecords(root.tlsa(2, 0, 0), root.tlsa(2, 1, 0)), leaf.Raw, "mx.example.org")
	f.Fuzz(func(t *testing.T, data, der []byte, name string) {
		list := cutRecords(data)
		certs, err := x509.ParseCertificates(der)
		if err != nil {
			return
		}
		state := tls.ConnectionState{PeerCertificates: certs}
		p := newPolicy(list, []string{name})
		err = p.verify(state)
		slices.Reverse(list)
		if q := newPolicy(list, []string{name}); q.digest() != p.digest() || (q.verify(state) == nil) != (err == nil) {
			t.Error("the order of records makes a difference")
		}
		if err != nil {
			return
		}
		named := slices.ContainsFunc(p.records, func(r record) bool { return r.Usage == endEntity && r.names(certs[0]) })
		proven := p.anchored() && certs[0].VerifyHostname(name) == nil
		if len(p.records) == 0 || !named && !proven {
			t.Errorf("accepted by %+v", list)
		}
	})
}
