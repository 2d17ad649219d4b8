// Simulate shows the future of a message or a campaign:
//
//	go run ./examples/simulate
//	go run ./examples/simulate -to away.example -start 14:00
//	go run ./examples/simulate -to shop.big.example,home.big.example -count 50000 -start 11:50
//	go run ./examples/simulate -script servers.txt -to x.example -retry 1m,10m,1h -lifetime 48h
//
// Nothing is sent, and nobody waits: package delivery/simulate drives the scheduler of a Sender through a script of how servers
// behave. Without -script that is demo.txt, which is a good place to begin. The same flags print the same future, except for
// another -seed.
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/delivery/simulate"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
)

//go:embed demo.txt
var demo string

// few is how many messages are few enough to be told of one by one.
const few = 10

func main() {
	err := run(os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	c, err := parseFlags(args, out)
	if err != nil {
		return err
	}
	future, err := simulate.Run(c)
	if err != nil {
		return err
	}
	s := newSummary(c.Start)
	told := events(&timeline{out: out, start: c.Start})
	if messages(c.Mail) > few {
		told = newTable(out, c.Start)
	}
	for at, e := range future {
		s.add(at, e)
		told.add(at, e)
	}
	told.end()
	_, err = fmt.Fprintf(out, "\n%s\n", s)
	return err
}

// events is a way to tell them.
type events interface {
	add(time.Time, simulate.Event)
	end()
}

func messages(mail []simulate.Mail) (n int) {
	for _, m := range mail {
		n += m.Count
	}
	return n
}

// parseFlags reads the command line. Asked for help it writes that to w, and returns flag.ErrHelp.
func parseFlags(args []string, w io.Writer) (c simulate.Config, err error) {
	var m simulate.Mail
	var limits shaping.Limits
	f := flag.NewFlagSet("simulate", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are the caller's to print
	to := f.String("to", "grey.example", "`domains` to send to, separated by commas")
	f.IntVar(&m.Count, "count", 1, "`number` of messages to each domain")
	f.DurationVar(&m.Every, "every", 0, "`time` between one message and the next")
	f.IntVar(&m.Recipients, "recipients", 1, "`number` of recipients of each message")
	priority := f.Int("priority", 0, "-1 for campaigns, 1 for password resets")
	script := f.String("script", "", "`file` that says how servers behave (default is the demo's)")
	waits := f.String("retry", "", "`waits` between attempts, the last one repeated, such as 1m,5m,30m (default is 1m, doubling to 4h)")
	f.DurationVar(&c.Lifetime, "lifetime", 5*24*time.Hour, "`time` after which delivery is given up")
	f.DurationVar(&c.DelayAfter, "delay", 4*time.Hour, "`time` after which a message is late")
	f.IntVar(&c.Concurrency, "concurrency", 500, "`number` of connections at once")
	f.Func("limits", `of each site, as JSON such as {"connections":5,"message_rate":{"n":100,"per":"1m"}}`, func(s string) error {
		return limits.UnmarshalJSON([]byte(s))
	})
	start := f.String("start", "09:00", "`time` of day at which it begins")
	until := f.Duration("until", 0, "`time` after which it breaks off (default is never)")
	f.Uint64Var(&c.Seed, "seed", 1, "`number` that all randomness comes from")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		f.SetOutput(w)
		f.Usage()
		return c, err
	case err != nil:
		return c, err
	case f.NArg() > 0:
		return c, fmt.Errorf("%q is not a flag", f.Arg(0))
	}
	if c.Retry, err = parseWaits(*waits); err != nil {
		return c, err
	}
	if c.Servers, err = readScript(*script); err != nil {
		return c, err
	}
	at, err := time.Parse("15:04", *start)
	if err != nil {
		return c, fmt.Errorf("-start %.50q is no time of day", *start)
	}
	c.Start = time.Date(2026, 1, 1, at.Hour(), at.Minute(), 0, 0, time.UTC)
	if *until > 0 {
		c.Until = c.Start.Add(*until)
	}
	c.Shaping.Default = limits
	m.Priority = queue.Priority(max(-1, min(*priority, 1)))
	for domain := range strings.SplitSeq(strings.ToLower(*to), ",") {
		m.Domain = domain
		c.Mail = append(c.Mail, m)
	}
	return c, nil
}

func parseWaits(list string) (retry.Policy, error) {
	if list == "" {
		return retry.Backoff{}, nil
	}
	var s retry.Schedule
	for word := range strings.SplitSeq(list, ",") {
		d, err := time.ParseDuration(word)
		if err != nil || d <= 0 {
			return nil, fmt.Errorf("-retry has %.50q, which is no wait such as 5m", word)
		}
		s = append(s, d)
	}
	return s, nil
}

func readScript(file string) (simulate.Script, error) {
	if file == "" {
		return simulate.ParseScript("demo.txt", demo)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return simulate.ParseScript(file, string(text))
}
