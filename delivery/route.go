package delivery

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
)

// routeTime is how long a worker that does one job after the other for a domain goes by its route without asking again.
const routeTime = time.Minute

// routeOf finds the way of a job, and says for what destination: its domain, or where it was rerouted to. That is another domain,
// an address literal, or the URL of a relay; Job.Via says so, or a rule, which may go by the site of the domain's own way.
func (s *Sender) routeOf(ctx context.Context, j *queue.Job, now time.Time) (route *mx.Route, to string, err error) {
	rules := s.rules.Load()
	to = cmp.Or(j.Via, rules.via(j, "", now))
	if j.Via == "" && (to == "" || rules.bySite) {
		route, err = s.routeTo(ctx, j, j.Domain)
		if err == nil {
			to = rules.via(j, cmp.Or(route.Site, j.Domain), now)
		}
		if to == "" {
			return route, j.Domain, err
		}
	}
	route, err = s.routeTo(ctx, j, to)
	return route, to, err
}

// routeTo finds the way of a job to a destination.
func (s *Sender) routeTo(ctx context.Context, j *queue.Job, to string) (*mx.Route, error) {
	router := s.config.Router
	if strings.Contains(to, "://") {
		relay, err := mx.ParseRelay(to)
		if err != nil {
			return nil, err
		}
		router, to = relay, relay.Host // a URL may have a password, which no error is to have
	}
	if j.Message.TLS == queue.TLSOptional {
		router = mx.WithoutPolicies(router)
	}
	route, err := router.Route(ctx, to)
	if err != nil {
		return nil, err
	}
	if !reachable(route) {
		return nil, errNowhere
	}
	return route, nil
}

// errNowhere means that a router has answered without naming anywhere to go.
var errNowhere = errors.New("the route has no host with an address")

func reachable(route *mx.Route) bool {
	if route == nil {
		return false
	}
	for i := range route.Hosts {
		if len(route.Hosts[i].Addrs) > 0 {
			return true
		}
	}
	return false
}

// knownRoute is the way of the last job that went to its own domain, which is good for the next one for a while.
type knownRoute struct {
	domain   string
	optional bool // without policies
	route    *mx.Route
	asked    time.Time
	rules    *rules // in force then
}

// find returns the way of a job and its destination, as routeOf does; the way of the job before if that will do.
func (k *knownRoute) find(ctx context.Context, s *Sender, j *queue.Job, now time.Time) (*mx.Route, string, error) {
	rules, optional := s.rules.Load(), j.Message.TLS == queue.TLSOptional
	if k.route != nil && k.domain == j.Domain && k.optional == optional && k.rules == rules && j.Via == "" && !rules.reroutes && now.Sub(k.asked) < routeTime {
		return k.route, k.domain, nil
	}
	*k = knownRoute{}
	route, to, err := s.routeOf(ctx, j, now)
	if err == nil && to == j.Domain {
		*k = knownRoute{to, optional, route, now, rules}
	}
	return route, to, err
}
