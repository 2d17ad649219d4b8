package shaping_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
)

// A rule for a receiver that the shipped ones don't know, and an exception from one that they do.
func ExampleRule() {
	policy := &shaping.Policy{Rules: []shaping.Rule{
		{
			Name: "example.org busy", Site: "*.example.org", Code: "421-451", Text: regexp.MustCompile(`(?i)too busy`),
			Action: shaping.Pause, For: 10 * time.Minute,
		},
		{Name: "no pause for logins", Phases: []string{"auth"}, Code: "454", Action: shaping.Ignore},
	}}
	if err := policy.Check(); err != nil {
		fmt.Println(err)
	}
	replies := []shaping.Reply{
		{Host: "mx1.example.org", Phase: "mail", Code: 450, Enhanced: "4.3.2", Text: "I am too busy"},
		{Host: "aspmx.l.google.com", Phase: "body", Code: 421, Enhanced: "4.7.28", Text: "unusual rate of mail"},
		{Host: "smtp.example.net", Phase: "auth", Code: 454, Enhanced: "4.7.0", Text: "Too many login attempts"},
	}
	for _, r := range replies {
		for _, o := range policy.Match(r) {
			fmt.Printf("%s: %s %v because of %s\n", r.Host, o.Action, o.For, o.Rule)
		}
	}
	// Output:
	// mx1.example.org: pause 10m0s because of example.org busy
	// aspmx.l.google.com: pause 30m0s because of google 4.7.28
}

// Blocked senders are usually unblocked when they have asked for it. Until then, mail may wait instead of coming back.
func ExampleRule_retryClass() {
	policy := &shaping.Policy{Rules: []shaping.Rule{{
		Name: "blocked", Site: "microsoft", Enhanced: "5.7.606-649", Action: shaping.Temporary, For: time.Hour,
	}}}
	for _, phase := range []string{"rcpt", "greeting"} {
		orders := policy.Match(shaping.Reply{Host: "example-com.mail.protection.outlook.com", Phase: phase, Code: 550, Enhanced: "5.7.606"})
		fmt.Println(phase, orders)
	}
	// Output:
	// rcpt [{blocked temporary 1h0m0s {0 0s 0} 0 0}]
	// greeting []
}

// A site is slowed: a few messages at once, and 100 an hour.
func ExamplePolicy_Limits() {
	policy := &shaping.Policy{
		Default: shaping.Limits{Connections: 8},
		Sites: map[string]shaping.Limits{
			"mx1.example.org,mx2.example.org": {MessageRate: shaping.Rate{N: 100, Per: time.Hour, Burst: 5}},
			"google":                          {Messages: 20},
		},
	}
	for _, site := range []string{"mx1.example.org,mx2.example.org", "google"} {
		limits, _ := json.Marshal(policy.Limits(site))
		fmt.Println(string(limits))
	}
	// Output:
	// {"connections":8,"start":2,"messages":100,"lifetime":"5m","idle":"5s","rest":"1m","message_rate":{"n":100,"per":"1h","burst":5}}
	// {"connections":5,"start":2,"messages":20,"lifetime":"5m","idle":"5s","rest":"1m"}
}

// What a reply has asked for is laid under a site's limits while it is in force.
func ExampleLimits_Slowed() {
	policy := &shaping.Policy{}
	reply := shaping.Reply{Host: "smtp-in.orange.fr", Phase: "greeting", Code: 421, Text: "Service refused. OFR005_104"}
	limits := policy.Limits("orange")
	for _, o := range policy.Match(reply) {
		limits = limits.Slowed(o)
	}
	fmt.Println(policy.Limits("orange").Connections, limits.Connections)
	// Output: 2 1
}

// The first tenant gets three connections of four while both have mail, and no more than 1000 messages an hour.
func ExamplePolicy_Weight() {
	policy := &shaping.Policy{Tenants: map[string]shaping.Tenant{
		"shop": {Weight: 3, Rate: shaping.Rate{N: 1000, Per: time.Hour, Burst: 100}},
	}}
	fmt.Println(policy.Weight("shop"), policy.Weight("forum"))
	fmt.Println(policy.TenantRate("shop").N, policy.TenantRate("forum").N)
	// Output:
	// 3 1
	// 1000 0
}

func ExampleBucket() {
	rate := shaping.Rate{N: 60, Per: time.Minute, Burst: 2}
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var bucket shaping.Bucket
	now := start
	for range 4 {
		now = bucket.Next(rate, now)
		bucket.Take(rate, now)
		fmt.Print(now.Sub(start), " ")
	}
	// Output: 0s 0s 1s 2s
}
