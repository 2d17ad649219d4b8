package delivery

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/postroad/postroad/delivery/internal/verdict"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
)

// otherFamily asks a host once more, by its addresses of the other family, for those whom it has refused for the address that
// we come from: that of the other family may have the PTR record that is missing here.
func (w *worker) otherFamily(ctx context.Context, t *try, h mx.Host) {
	var refused []int
	var family netip.AddrPort
	for i := range t.Results {
		r := &t.Results[i]
		if !aboutAddress(r.Reply) || r.Reply.Host != h.Name || t.job.Recipients[i].State != queue.Pending {
			continue
		}
		if addr, err := netip.ParseAddrPort(r.Reply.Addr); err == nil {
			refused, family = append(refused, i), addr
		}
	}
	if len(refused) == 0 || t.Uncertain() || ctx.Err() != nil {
		return
	}
	h.Addrs = slices.DeleteFunc(slices.Clone(h.Addrs), func(a netip.Addr) bool {
		return a.Unmap().Is4() == family.Addr().Unmap().Is4()
	})
	h.Addrs = h.Addrs[:min(len(h.Addrs), max(maxAddrs-t.addrs, 0))]
	if !w.dial(ctx, t, &h) {
		return
	}
	before := slices.Clone(t.Results)
	for _, i := range refused {
		t.Results[i] = verdict.Result{}
	}
	w.transact(ctx, t, &h) // what was lost with the session is in the results
	for _, i := range refused {
		if !t.Results[i].Tried {
			t.Results[i] = before[i]
		}
	}
}

// aboutAddress reports whether a server refuses the address that we come from for want of a PTR record: by the code of RFC 7372,
// section 3.3, or in the words of the largest provider that was there before it.
func aboutAddress(r queue.Reply) bool {
	if r.Code/100 != 4 && r.Code/100 != 5 {
		return false
	}
	return strings.HasSuffix(r.Enhanced, ".7.25") || strings.Contains(r.Text, "IPv6 sending guidelines")
}
