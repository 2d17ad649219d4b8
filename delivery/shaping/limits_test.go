package shaping

import (
	"testing"
	"time"
)

func TestPolicyLimits(t *testing.T) {
	hour := Rate{N: 1, Per: time.Hour}
	second := Rate{N: 9, Per: time.Second, Burst: 3}
	policy := Policy{
		Default: Limits{Connections: 30, Idle: time.Minute, MessageRate: hour},
		Sites: map[string]Limits{
			"google":              {Messages: 70, MessageRate: second},
			"mx.google.com":       {Messages: 80},
			"a.example,b.example": {Start: 9, Connections: 3, ConnectionRate: second},
			"smtp.example.com:587": {
				Connections: 1, Start: 2, Messages: 3, Lifetime: 4, Idle: 5, Rest: 6, MessageRate: second, ConnectionRate: hour,
			},
		},
	}
	bare := policy
	bare.Bare = true
	tests := []struct {
		name   string
		policy Policy
		site   string
		want   Limits
	}{
		{"shipped", Policy{}, "a.example,b.example", defaults},
		{"no name", Policy{}, "", defaults},
		{"shipped provider", Policy{}, "google", Limits{5, 2, 50, 300 * time.Second, 5 * time.Second, time.Minute, Rate{}, Rate{}}},
		{"start is no more than all", Policy{Default: Limits{Connections: 1}}, "a.example", Limits{1, 1, 100, 300 * time.Second, 5 * time.Second, time.Minute, Rate{}, Rate{}}},
		{"default", policy, "c.example", Limits{30, 2, 100, 300 * time.Second, time.Minute, time.Minute, hour, Rate{}}},
		{"site", policy, "a.example,b.example", Limits{3, 3, 100, 300 * time.Second, time.Minute, time.Minute, hour, second}},
		{"site in capitals", policy, "A.example,b.EXAMPLE", Limits{3, 3, 100, 300 * time.Second, time.Minute, time.Minute, hour, second}},
		{"site that says all", policy, "smtp.example.com:587", Limits{1, 1, 3, 4, 5, 6, second, hour}},
		{"over a provider over the default", policy, "google", Limits{5, 2, 70, 300 * time.Second, time.Minute, time.Minute, second, Rate{}}},
		{"hosts of a provider", policy, "alt1.google.com,aspmx2.googlemail.com", Limits{5, 2, 70, 300 * time.Second, time.Minute, time.Minute, second, Rate{}}},
		{"a site over the provider's name", policy, "mx.google.com", Limits{5, 2, 80, 300 * time.Second, time.Minute, time.Minute, second, Rate{}}},
		{"bare", bare, "google", Limits{30, 2, 70, 300 * time.Second, time.Minute, time.Minute, second, Rate{}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.policy.Limits(tt.site); got != tt.want {
				t.Errorf("\n got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestProviderLimits(t *testing.T) {
	for name, want := range map[string][2]int{
		"google": {5, 50}, "microsoft": {5, 50}, "yahoo": {20, 20}, "apple": {10, 5}, "orange": {2, 100}, "gmx": {4, 20},
		"mimecast": {10, 100}, "comcast": {20, 100},
	} {
		l := (&Policy{}).Limits(name)
		if l.Connections != want[0] || l.Messages != want[1] {
			t.Errorf("%s: %d connections of %d messages, want %v", name, l.Connections, l.Messages, want)
		}
	}
}

func TestProviderOf(t *testing.T) {
	for site, want := range map[string]string{
		"google":                   "google",
		"aspmx.l.google.com":       "google",
		"ASPMX.L.Google.Com.":      "google",
		"smtp.gmail.com:587":       "google",
		"google.com":               "google",
		"notgoogle.com":            "",
		"google.com.example":       "",
		"google.com.,evil.example": "",
		"alt1.aspmx.l.google.com,aspmx.l.google.com,aspmx2.googlemail.com": "google",
		"aspmx.l.google.com,mx1.mail.icloud.com":                           "",
		"example-com.mail.protection.outlook.com":                          "microsoft",
		"hotmail-com.olc.protection.outlook.com":                           "microsoft",
		"example-com.o-v1.mx.microsoft":                                    "microsoft",
		"smtp.office365.com:587":                                           "microsoft",
		"mta5.am0.yahoodns.net,mta6.am0.yahoodns.net":                      "yahoo",
		"mx01.mail.icloud.com,mx02.mail.icloud.com":                        "apple",
		"smtp-in.orange.fr":                                                "orange",
		"mx00.gmx.net,mx01.gmx.net":                                        "gmx",
		"mx-ha02.web.de,mx-ha03.web.de":                                    "gmx",
		"eu-smtp-inbound-1.mimecast.com":                                   "mimecast",
		"mx1a1.comcast.net":                                                "comcast",
		"":                                                                 "",
		",":                                                                "",
		"google,google":                                                    "",
		"[::1]:25":                                                         "",
	} {
		if got := providerOf(site); got != want {
			t.Errorf("%q: %q, want %q", site, got, want)
		}
	}
}

// What a caller does with the table is his own affair.
func TestProvidersAreCopies(t *testing.T) {
	list := Providers()
	list[0].Name, list[0].Hosts[0] = "changed", "changed.example"
	if again := Providers(); again[0].Name != "google" || again[0].Hosts[0] != "google.com" {
		t.Errorf("changed: %+v", again[0])
	}
	rules := Rules()
	for i := range rules {
		rules[i].Name = "changed"
		for k := range rules[i].Phases {
			rules[i].Phases[k] = "changed"
		}
	}
	for _, r := range Rules() {
		if err := r.check(); err != nil || r.Name == "changed" {
			t.Errorf("changed: %+v", r)
		}
	}
}

func TestSlowed(t *testing.T) {
	limits := Limits{Connections: 10, Start: 4, Messages: 50, MessageRate: Rate{N: 10, Per: time.Second}}
	tests := []struct {
		name  string
		order Order
		want  Limits
	}{
		{"connections", Order{Action: Slow, Connections: 3}, Limits{3, 3, 50, 0, 0, 0, Rate{10, time.Second, 0}, Rate{}}},
		{"more connections", Order{Action: Slow, Connections: 11}, limits},
		{"messages", Order{Action: Slow, Messages: 7}, Limits{10, 4, 7, 0, 0, 0, Rate{10, time.Second, 0}, Rate{}}},
		{"more messages", Order{Action: Slow, Messages: 51}, limits},
		{"rate", Order{Action: Slow, Rate: Rate{N: 599, Per: time.Minute, Burst: 9}}, Limits{10, 4, 50, 0, 0, 0, Rate{599, time.Minute, 9}, Rate{}}},
		{"same rate", Order{Action: Slow, Rate: Rate{N: 600, Per: time.Minute, Burst: 9}}, limits},
		{"higher rate", Order{Action: Slow, Rate: Rate{N: 601, Per: time.Minute}}, limits},
		{"nothing", Order{Action: Slow}, limits},
		{"another action", Order{Action: Pause, Connections: 1}, limits},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := limits.Slowed(tt.order); got != tt.want {
				t.Errorf("\n got %+v\nwant %+v", got, tt.want)
			}
		})
	}
	rate := Rate{N: 1, Per: time.Hour}
	if got := (Limits{}).Slowed(Order{Action: Slow, Rate: rate}); got.MessageRate != rate {
		t.Errorf("no limit wasn't lowered: %+v", got)
	}
}
