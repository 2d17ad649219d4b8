package simulate_test

import (
	"fmt"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/simulate"
	"github.com/postroad/postroad/retry"
)

// A provider greylists, and is then down for most of the day. Would that be noticed?
func Example() {
	servers, err := simulate.ParseScript("servers", `
		always       x.example  first attempt: rcpt 450 4.2.0 greylisted
		+0s-+9h      x.example  rcpt 451 4.3.0 try again later
		always       *          takes 2s`)
	if err != nil {
		panic(err)
	}
	future, err := simulate.Run(simulate.Config{
		Retry:      retry.Schedule{time.Minute, 10 * time.Minute, 3 * time.Hour},
		DelayAfter: 6 * time.Hour,
		Servers:    servers,
		Mail:       []simulate.Mail{{Domain: "x.example"}},
	})
	if err != nil {
		panic(err)
	}
	for at, e := range future {
		switch e := e.(type) {
		case delivery.Attempted:
			fmt.Printf("%s  %s: %d %s\n", at.Format(time.TimeOnly), e.Outcome, e.Reply.Code, e.Reply.Text)
		case delivery.Delayed:
			fmt.Printf("%s  delayed\n", at.Format(time.TimeOnly))
		}
	}
	// Output:
	// 00:00:02  deferred: 450 greylisted
	// 00:01:04  deferred: 451 try again later
	// 00:11:06  deferred: 451 try again later
	// 03:11:08  deferred: 451 try again later
	// 06:11:10  deferred: 451 try again later
	// 06:11:10  delayed
	// 09:11:12  delivered: 250 Ok
}

// A script can be made without its text, and is written as one.
func ExampleScript() {
	fmt.Print(simulate.Script{
		{Where: "*.shop.example", Do: simulate.Site("mx.big.example")},
		{
			Where: "mx.big.example", When: simulate.Window{From: 12 * time.Hour, To: 14 * time.Hour, Daily: true}, Share: 0.05,
			Do: simulate.Answer{Phase: retry.PhaseMail, Code: 421, Enhanced: "4.7.28", Text: "too fast"},
		},
		{Where: "mx.big.example", Do: simulate.Connections(5)},
		{Do: simulate.Takes(200 * time.Millisecond)},
	})
	// Output:
	// always        *.shop.example     is at mx.big.example
	// 12:00-14:00   mx.big.example     5%: mail 421 4.7.28 too fast
	// always        mx.big.example     connections 5
	// always        *                  takes 200ms
}
