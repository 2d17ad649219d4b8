package main

import (
	"log/slog"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/dane"
	"github.com/postroad/postroad/mx/mtasts"
	"github.com/postroad/postroad/queue"
)

// withPolicies holds the hosts that a resolver finds to what their domains demand by MTA-STS and DANE. The policies are kept in
// the queue, if it keeps notes. What stands in the way of them is logged.
func withPolicies(r *mx.Resolver, q queue.Queue, log *slog.Logger) *mtasts.Router {
	notes, _ := q.(queue.Notes)
	sts := &mtasts.Router{
		Inner: &dane.Router{Inner: r, DNS: r.DNS, Observe: func(e dane.Event) {
			if e.Err != nil {
				log.Warn("policy", "domain", e.Domain, "host", e.Host, "error", e.Err.Error())
			}
		}},
		DNS: r.DNS,
		Observe: func(e mtasts.Event) {
			if e, ok := e.(mtasts.Failed); ok {
				log.Warn("policy", "domain", e.Domain, "error", e.Err.Error())
			}
		},
	}
	if notes != nil {
		sts.Store = notes
	}
	return sts
}
