package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/dnsclient"
	"github.com/postroad/postroad/retry"
)

// options are what the command line says.
type options struct {
	listen   string
	queue    string
	hostname string
	maxSize  int64
	json     bool
	delivery delivery.Config // without its Observer
}

// parseOptions reads the command line; what is to be said about its usage goes to w.
func parseOptions(args []string, w io.Writer) (*options, error) {
	host, _ := os.Hostname()
	o := &options{}
	flags := flag.NewFlagSet("relay", flag.ContinueOnError)
	flags.SetOutput(w)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:2525", "`address` to take mail at; port 0 is any free one")
	flags.StringVar(&o.queue, "queue", "mail.db", "`file` of the queue")
	flags.StringVar(&o.hostname, "hostname", cmp.Or(host, "localhost"), "this host's `name`, said in greetings, EHLO, Received and reports")
	flags.Int64Var(&o.maxSize, "max-size", 25_000_000, "largest message, in `octets`")
	relay := flags.String("relay", "", "`URL` of the server that gets all mail, such as smtp://host:port; without it, mail goes to the MX hosts of its domains")
	dns := flags.String("dns", "", "`address` of the name server to ask for MX hosts; without it, those of the system")
	port := flags.Uint("port", 25, "`port` of MX hosts")
	allowPrivate := flags.Bool("allow-private", false, "deliver to MX hosts on loopback and private addresses")
	format := flags.String("log", "text", "`format` of the log: text or json")
	var retry schedule
	flags.Var(&retry, "retry", "`waits` between attempts, the last one repeated, such as 1m,5m,30m; no other wait is longer than the longest of them")
	var expire duration
	flags.Var(&expire, "expire", "`time` after which delivery is given up, such as 5d")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	router, err := router(o.hostname, *relay, *dns, *port, *allowPrivate)
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("%q is not a flag", flags.Arg(0))
	case o.maxSize <= 0 || o.maxSize > math.MaxInt32:
		return nil, fmt.Errorf("-max-size %d is not from 1 to %d", o.maxSize, math.MaxInt32)
	case *format != "text" && *format != "json":
		return nil, fmt.Errorf("-log %q is neither text nor json", *format)
	case err != nil:
		return nil, err
	}
	o.json = *format == "json"
	o.delivery = delivery.Config{
		Hostname: o.hostname,
		Router:   router,
		Lifetime: time.Duration(expire),
		MaxSize:  o.maxSize + maxTrace,
	}
	if len(retry) > 0 {
		o.delivery.Retry, o.delivery.MaxWait = retry.policy()
	}
	return o, nil
}

// router is the way out: the relay, or the MX hosts that the DNS names.
func router(hostname, relay, dns string, port uint, allowPrivate bool) (mx.Router, error) {
	if relay != "" {
		r, err := mx.ParseRelay(relay)
		if err != nil {
			return nil, fmt.Errorf("-relay: %w", err)
		}
		return r, nil
	}
	if port == 0 || port > math.MaxUint16 {
		return nil, fmt.Errorf("-port %d is not from 1 to %d", port, math.MaxUint16)
	}
	r := &mx.Resolver{Hostname: hostname, Port: uint16(port), AllowPrivate: allowPrivate}
	if dns != "" {
		if _, _, err := net.SplitHostPort(dns); err != nil {
			return nil, fmt.Errorf("-dns: %w", err)
		}
		r.DNS = &dnsclient.Client{Servers: []string{dns}}
	}
	return r, nil
}

// duration is a flag: what time.ParseDuration takes, with days as well.
type duration time.Duration

// String is the value as Set takes it.
func (d *duration) String() string { return time.Duration(*d).String() }

// Set reads a duration such as 90m, 5d or 1d12h.
func (d *duration) Set(s string) error {
	const day = 24 * time.Hour
	var sum time.Duration
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is not a number of days", days)
		}
		sum, s = time.Duration(n)*day, rest
	}
	if s != "" || sum == 0 {
		rest, err := time.ParseDuration(s)
		if err != nil {
			return err
		}
		sum += rest
	}
	if sum <= 0 {
		return errors.New("must be more than zero")
	}
	*d = duration(sum)
	return nil
}

// schedule is a flag: durations separated by commas.
type schedule []duration

// String is the value as Set takes it.
func (s *schedule) String() string {
	var list []string
	for _, d := range *s {
		list = append(list, d.String())
	}
	return strings.Join(list, ",")
}

// Set reads the list.
func (s *schedule) Set(list string) error {
	*s = nil
	for word := range strings.SplitSeq(list, ",") {
		var d duration
		if err := d.Set(strings.TrimSpace(word)); err != nil {
			return err
		}
		*s = append(*s, d)
	}
	return nil
}

// policy returns the retry policy, and the bound of all waits that it doesn't determine.
func (s schedule) policy() (retry.Schedule, time.Duration) {
	var policy retry.Schedule
	for _, d := range s {
		policy = append(policy, time.Duration(d))
	}
	return policy, slices.Max(policy)
}
