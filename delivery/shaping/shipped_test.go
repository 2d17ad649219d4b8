package shaping

import (
	"testing"
	"time"
)

// Each row of the shipped rules, by the reply it was made for, and what comes near it without being it.
func TestShippedRules(t *testing.T) {
	const (
		google    = "aspmx.l.google.com"
		microsoft = "example-com.mail.protection.outlook.com"
		yahoo     = "mta5.am0.yahoodns.net"
		apple     = "mx01.mail.icloud.com"
		orange    = "smtp-in.orange.fr"
		comcast   = "mx1a1.comcast.net"
		other     = "mx.example.com"
	)
	pause := func(rule string, d time.Duration) Order { return Order{Rule: rule, Action: Pause, For: d} }
	wait := func(rule string) Order { return Order{Rule: rule, Action: Wait, For: 4 * time.Hour} }
	busy := pause("microsoft 4.7.500-699", 15*time.Minute)
	trickle := Order{Rule: "microsoft 4.7.650", Action: Slow, For: 90 * time.Minute, Rate: Rate{N: 1, Per: time.Minute}, Connections: 1}
	shorter := Order{Rule: "yahoo messages per connection", Action: Slow, For: time.Hour, Messages: 10}
	fewer := Order{Rule: "microsoft 432 4.3.2", Action: Slow, For: 30 * time.Minute, Connections: 2}
	single := Order{Rule: "orange OFR005_104", Action: Slow, For: 30 * time.Minute, Connections: 1}

	tests := []struct {
		host     string
		phase    string
		code     int
		enhanced string
		text     string
		want     []Order
	}{
		{google, "body", 421, "4.7.28", "Our system has detected an unusual rate of mail", []Order{pause("google 4.7.28", 30*time.Minute)}},
		{google, "greeting", 421, "#4.7.28", "", []Order{pause("google 4.7.28", 30*time.Minute)}},
		{"smtp.gmail.com:587", "body", 421, "4.7.28", "", []Order{pause("google 4.7.28", 30*time.Minute)}},
		{google, "body", 450, "4.7.28", "", nil},
		{google, "body", 421, "4.7.29", "", nil},
		{google, "body", 421, "4.7.2", "", nil},
		{google, "body", 550, "5.7.28", "", nil},
		{google, "body", 421, "5.7.28", "", nil},
		{other, "body", 421, "4.7.28", "", nil},
		{"aspmx.l.google.com.evil.example", "body", 421, "4.7.28", "", nil},
		{"notgoogle.com", "body", 421, "4.7.28", "", nil},
		{google, "rcpt", 421, "4.7.0", "Try again later, closing connection", []Order{pause("google 4.7.0", 5*time.Minute)}},
		{google, "rcpt", 451, "4.7.0", "", nil},
		{google, "rcpt", 421, "", "4.7.0", nil},
		{other, "rcpt", 421, "4.7.0", "", nil},
		{google, "rcpt", 450, "4.2.1", "The user is receiving mail at a rate", []Order{wait("google 4.2.1")}},
		{google, "rcpt", 550, "5.2.1", "The account is disabled", nil},
		{google, "rcpt", 452, "4.2.1", "", nil},
		{other, "rcpt", 450, "4.2.1", "", nil},
		{google, "rcpt", 452, "4.2.2", "The recipient's inbox is out of storage", []Order{wait("google 4.2.2")}},
		{google, "rcpt", 552, "5.2.2", "", nil},
		{google, "rcpt", 452, "4.5.3", "Too many recipients", nil},

		{yahoo, "greeting", 421, "4.7.0", "[TSS04] Messages from 192.0.2.1 temporarily deferred", []Order{pause("yahoo TSS04", 2*time.Hour)}},
		{yahoo, "mail", 421, "", "4.7.0\n[TSS04]", []Order{pause("yahoo TSS04", 2*time.Hour)}},
		{yahoo, "mail", 421, "4.7.0", "[TSS05]", []Order{pause("yahoo TSS05", 4*time.Hour)}},
		{yahoo, "mail", 421, "4.7.0", "[TSS06] TSS04 TSS05", nil},
		{yahoo, "mail", 451, "4.7.0", "[TSS04]", nil},
		{other, "mail", 421, "4.7.0", "[TSS04]", nil},
		{yahoo, "mail", 421, "", "Max message per connection reached, closing transmission channel", []Order{shorter}},
		{yahoo, "mail", 421, "", "max messages per connection", []Order{shorter}},
		{yahoo, "mail", 421, "", "Max connections", nil},
		{other, "mail", 421, "", "Max message per connection reached", nil},
		{yahoo, "greeting", 553, "5.7.1", "[BL21] Connections will not be accepted from 192.0.2.1", []Order{pause("yahoo BL", 2*time.Hour)}},
		{yahoo, "mail", 553, "5.7.1", "[BLX]", nil},
		{yahoo, "mail", 553, "5.7.2", "[BL21]", nil},
		{yahoo, "mail", 554, "5.7.1", "[BL21]", nil},
		{yahoo, "mail", 553, "5.7.2", "[TSS09] All messages from 192.0.2.1 will be permanently deferred", []Order{pause("yahoo TSS09", 2*time.Hour)}},
		{yahoo, "mail", 553, "5.7.2", "[TSS11]", []Order{pause("yahoo TSS09", 2*time.Hour)}},
		{yahoo, "mail", 553, "5.7.2", "[TSS10]", nil},
		{yahoo, "mail", 553, "5.7.1", "[TSS09]", nil},

		{microsoft, "rcpt", 451, "4.7.500", "Server busy. Please try again later", []Order{busy}},
		{microsoft, "rcpt", 451, "4.7.699", "", []Order{busy}},
		{microsoft, "rcpt", 451, "4.7.499", "", nil},
		{microsoft, "rcpt", 451, "4.7.700", "", nil},
		{microsoft, "rcpt", 450, "4.7.500", "", nil},
		{microsoft, "rcpt", 550, "5.7.606", "", nil},
		{other, "rcpt", 451, "4.7.500", "", nil},
		{microsoft, "rcpt", 451, "4.7.650", "temporarily rate limited due to IP reputation", []Order{trickle, busy}},
		{microsoft, "greeting", 421, "4.3.2", "Service not available", []Order{pause("microsoft 421 4.3.2", 5*time.Minute)}},
		{microsoft, "greeting", 421, "4.3.1", "", nil},
		{other, "greeting", 421, "4.3.2", "", nil},
		{"smtp.office365.com", "auth", 432, "4.3.2", "Concurrent connections limit exceeded", []Order{fewer}},
		{microsoft, "mail", 432, "4.7.0", "", nil},

		{apple, "mail", 421, "4.7.1", "Messages deferred due to excessive volume", []Order{pause("apple 4.7.1", 15*time.Minute)}},
		{apple, "mail", 450, "4.7.1", "", nil},
		{other, "mail", 421, "4.7.1", "", nil},
		{orange, "greeting", 421, "", "Service refused, please try later. OFR005_104 [104]", []Order{single}},
		{orange, "mail", 550, "5.2.0", "OFR005_104", nil},
		{orange, "greeting", 421, "", "OFR005_1044", nil},
		{other, "greeting", 421, "", "OFR005_104", nil},
		{comcast, "greeting", 421, "", "192.0.2.1 Throttled - try again later RL000010", []Order{pause("comcast RL000010", 30*time.Minute)}},
		{comcast, "greeting", 421, "", "RL000001", nil},
		{comcast, "greeting", 554, "", "RL000010", nil},
		{other, "greeting", 421, "", "RL000010", nil},

		{other, "auth", 454, "4.7.0", "Too many login attempts, please try again later", []Order{pause("too many logins", 15*time.Minute)}},
		{other, "starttls", 454, "4.7.0", "Too many login attempts", nil},
		{other, "auth", 454, "4.7.0", "Temporary authentication failure", nil},
		{other, "auth", 535, "5.7.8", "Too many login attempts", nil},
	}
	seen := make(map[string]bool)
	for _, tt := range tests {
		r := Reply{Site: "site", Host: tt.host, Phase: tt.phase, Code: tt.code, Enhanced: tt.enhanced, Text: tt.text}
		wantOrders(t, &Policy{}, r, tt.want)
		wantOrders(t, &Policy{Bare: true}, r, nil)
		for _, o := range tt.want {
			seen[o.Rule] = true
		}
		// What another says so means nothing, but for what is meant for all.
		if len(tt.want) > 0 && tt.host != other {
			elsewhere := r
			elsewhere.Host = other
			wantOrders(t, &Policy{}, elsewhere, nil)
		}
		// Under the provider's name the site is known from whatever host.
		if name := providerOf(tt.host); name != "" {
			r.Site, r.Host = name, "192.0.2.7"
			wantOrders(t, &Policy{}, r, tt.want)
		}
	}
	for _, rule := range Rules() {
		if !seen[rule.Name] {
			t.Errorf("no reply of the table is for %q", rule.Name)
		}
	}
}

// The shipped rules are held to what is expected of others.
func TestShippedRulesMakeSense(t *testing.T) {
	p := Policy{Rules: Rules(), Sites: make(map[string]Limits)}
	for _, provider := range Providers() {
		p.Sites[provider.Name] = provider.Limits
		for _, host := range provider.Hosts {
			if got := providerOf("mx." + host); got != provider.Name {
				t.Errorf("%s is of %s", host, got)
			}
		}
	}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
	for _, rule := range p.Rules {
		if rule.Site != "" && !isProvider(rule.Site) {
			t.Errorf("%s: there is no provider %q", rule.Name, rule.Site)
		}
	}
}
