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
	policies bool            // MX hosts are held to MTA-STS and DANE
	delivery delivery.Config // without its Observer
}

// parseOptions reads the command line. Asked for help it writes that to w, and returns flag.ErrHelp.
func parseOptions(args []string, w io.Writer) (*options, error) {
	host, _ := os.Hostname()
	o := &options{}
	flags := flag.NewFlagSet("relay", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are the caller's to print
	flags.StringVar(&o.listen, "listen", "127.0.0.1:2525", "`address` to take mail at; port 0 is any free one")
	flags.StringVar(&o.queue, "queue", "mail.db", "`file` of the queue")
	flags.StringVar(&o.hostname, "hostname", cmp.Or(host, "localhost"), "this host's `name`, for greetings, EHLO, Received and reports")
	flags.Int64Var(&o.maxSize, "max-size", 25_000_000, "largest message, in `octets`")
	flags.Func("log", "`format` of the log: text or json (default text)", o.setLog)
	flags.Func("retry", "`waits` between attempts, the last one repeated, such as 1m,5m,30m; no other wait is longer than the longest of them", o.setRetry)
	flags.Func("expire", "`time` after which delivery is given up, such as 5d", o.setExpire)
	flags.Func("delay", "`time` after which senders who ask for it are told of a delay (default 4h)", o.setDelay)
	flags.StringVar(&o.delivery.Postmaster, "postmaster", "", "`address` that is told of reports that can't be delivered")
	nullSender := flags.String("null-sender", "", "`address` that the server of -relay is told for mail from <>, if it refuses that")
	relay := flags.String("relay", "", "`URL` of the server that gets all mail, such as smtp://host:port; without it, mail goes to the MX hosts of its domains")
	dns := flags.String("dns", "", "`address` of the name server to ask for MX hosts; without it, those of the system")
	port := flags.Uint("port", 25, "`port` of MX hosts")
	flags.BoolVar(&o.policies, "policies", false, "hold MX hosts to what their domains demand by MTA-STS and DANE; the latter needs a name server on loopback that validates DNSSEC")
	allowPrivate := flags.Bool("allow-private", false, "deliver to MX hosts on loopback and private addresses, too")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(w)
		flags.Usage()
		return nil, err
	case err != nil:
		return nil, err
	case flags.NArg() > 0:
		return nil, fmt.Errorf("%q is not a flag", flags.Arg(0))
	case o.policies && *relay != "":
		return nil, errors.New("-policies is about MX hosts, and -relay has none")
	case *nullSender != "" && *relay == "":
		return nil, errors.New("-null-sender is about the server of -relay")
	case o.maxSize <= 0 || o.maxSize > math.MaxInt32:
		return nil, fmt.Errorf("-max-size %d is not from 1 to %d", o.maxSize, math.MaxInt32)
	}
	o.delivery.Hostname = o.hostname
	o.delivery.MaxSize = o.maxSize
	if *relay != "" {
		o.delivery.Router, err = parseRelay(*relay, *nullSender)
	} else {
		o.delivery.Router, err = newResolver(o.hostname, *dns, *port, *allowPrivate)
	}
	return o, err
}

func (o *options) setLog(format string) error {
	if format != "text" && format != "json" {
		return errors.New("neither text nor json")
	}
	o.json = format == "json"
	return nil
}

func (o *options) setRetry(list string) error {
	var waits retry.Schedule
	for word := range strings.SplitSeq(list, ",") {
		wait, err := parseDuration(strings.TrimSpace(word))
		if err != nil {
			return err
		}
		waits = append(waits, wait)
	}
	o.delivery.Retry, o.delivery.MaxWait = waits, slices.Max(waits)
	return nil
}

func (o *options) setExpire(s string) (err error) {
	o.delivery.Lifetime, err = parseDuration(s)
	return err
}

func (o *options) setDelay(s string) (err error) {
	o.delivery.DelayAfter, err = parseDuration(s)
	return err
}

// parseDuration reads what time.ParseDuration does, with days as well: 90m, 5d, 1d12h.
func parseDuration(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	var sum time.Duration
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is not a number of days", days)
		}
		sum, s = time.Duration(n)*day, rest
	}
	if s != "" || sum == 0 {
		rest, err := time.ParseDuration(s)
		if err != nil {
			return 0, err
		}
		sum += rest
	}
	if sum <= 0 {
		return 0, errors.New("must be more than zero")
	}
	return sum, nil
}

func parseRelay(url, nullSender string) (mx.Router, error) {
	r, err := mx.ParseRelay(url)
	if err != nil {
		return nil, fmt.Errorf("-relay: %w", err)
	}
	r.NullSender = nullSender
	return r, nil
}

// newResolver returns the way to the MX hosts that the DNS names.
func newResolver(hostname, dns string, port uint, allowPrivate bool) (mx.Router, error) {
	if port == 0 || port > math.MaxUint16 {
		return nil, fmt.Errorf("-port %d is not from 1 to %d", port, math.MaxUint16)
	}
	r := &mx.Resolver{Hostname: hostname, Port: uint16(port), AllowPrivate: allowPrivate}
	if dns == "" {
		if _, err := os.Stat("/etc/resolv.conf"); err == nil {
			r.DNS = &dnsclient.Client{}
		}
	} else {
		if _, _, err := net.SplitHostPort(dns); err != nil {
			return nil, fmt.Errorf("-dns: %w", err)
		}
		r.DNS = &dnsclient.Client{Servers: []string{dns}}
	}
	return r, nil
}
