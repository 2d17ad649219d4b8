package dane

import (
	"context"
	"fmt"

	"github.com/postroad/postroad/mx"
)

// maxName is the length of the longest name in the DNS.
const maxName = 253

// records finds the TLSA records of a host, and the name they are for: the TLSA base domain of RFC 7672, section 2.2.3. There
// are none if the zones that they would be in aren't signed.
func (r *Router) records(ctx context.Context, host *mx.Host) (base string, records []mx.TLSA, err error) {
	bases, err := r.bases(ctx, host.Name)
	if err != nil {
		return "", nil, err
	}
	for _, base := range bases {
		name := fmt.Sprintf("_%d._tcp.%s", host.Port, base)
		if len(name) > maxName {
			continue
		}
		answer, err := r.lookup(ctx, name, mx.TypeTLSA)
		switch {
		case err != nil:
			return "", nil, err
		case !answer.Authentic:
		case len(answer.Records) > maxRecords:
			return "", nil, fmt.Errorf("%s has %d TLSA records, more than anybody needs", name, len(answer.Records))
		case len(answer.Records) > 0:
			for _, record := range answer.Records {
				records = append(records, record.TLSA)
			}
			return base, records, nil
		}
	}
	return "", nil, nil
}

// bases returns the names that a host's TLSA records may be for, best first (RFC 7672, section 2.2.2): what the host is an alias
// of, and itself. Where its addresses aren't signed there is nothing to be asked of its servers, which may not like the
// question, but an alias that is signed itself.
func (r *Router) bases(ctx context.Context, host string) ([]string, error) {
	answer, err := r.lookup(ctx, host, mx.TypeA)
	if err != nil {
		answer, err = r.lookup(ctx, host, mx.TypeAAAA)
	}
	alias := answer.Canonical != "" && answer.Canonical != host
	switch {
	case err != nil:
		return nil, err
	case answer.Authentic && alias:
		return []string{answer.Canonical, host}, nil
	case answer.Authentic:
		return []string{host}, nil
	case alias:
		answer, err = r.lookup(ctx, host, mx.TypeCNAME)
		if err != nil || !answer.Authentic {
			return nil, err
		}
		return []string{host}, nil
	}
	return nil, nil
}

// lookup asks the DNS. A server's failure is an error, and so is what it takes for forged.
func (r *Router) lookup(ctx context.Context, name string, t mx.Type) (mx.Answer, error) {
	answer, err := r.dns().Lookup(ctx, name, t)
	if err == nil && answer.Rcode != mx.Success && answer.Rcode != mx.NXDomain {
		err = fmt.Errorf("%v", answer.Rcode)
	}
	if err != nil {
		return mx.Answer{}, fmt.Errorf("looking up %v of %s: %w", t, name, err)
	}
	return answer, nil
}
