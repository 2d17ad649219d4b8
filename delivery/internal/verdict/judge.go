package verdict

import (
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
)

// Judge makes a result of a reply: of what it means in general, which is v, and of what the policy's rules say of it at the
// site. What those ask for that concerns the site, and not the mail, is returned beside it.
func Judge(p *shaping.Policy, site string, reply queue.Reply, v retry.Verdict) (res Result, orders []shaping.Order) {
	res = Result{Tried: true, Reply: reply, Verdict: v}
	for _, o := range p.Match(shaping.Reply{
		Site: site, Host: reply.Host, Phase: reply.Phase, Code: reply.Code, Enhanced: reply.Enhanced, Text: reply.Text,
	}) {
		switch o.Action {
		case shaping.Wait:
			res.Wait, res.Verdict.NextHost = max(res.Wait, o.For), false
		case shaping.Temporary:
			res.Wait = max(res.Wait, o.For)
			if v.Outcome == retry.Permanent {
				res.Verdict.Outcome = retry.Temporary
			}
		case shaping.Permanent:
			if v.Outcome == retry.Temporary || v.Outcome == retry.Later {
				res.Verdict.Outcome, res.Verdict.NextHost = retry.Permanent, false
			}
		default:
			orders = append(orders, o)
		}
	}
	return res, orders
}
