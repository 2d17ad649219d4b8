package main

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/dnsclient"
	"github.com/postroad/postroad/retry"
)

func TestOptions(t *testing.T) {
	o, err := parseOptions(strings.Fields("-listen 127.0.0.1:2526 -queue q.db -hostname mx.example -dns 127.0.0.1:5353 -port 2525"+
		" -retry 1m,5m,1d -expire 5d -max-size 1000 -log json -allow-private -delay 1h -postmaster pm@mx.example"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if o.listen != "127.0.0.1:2526" || o.queue != "q.db" || o.hostname != "mx.example" || !o.json || o.maxSize != 1000 {
		t.Errorf("%+v", o)
	}
	r, ok := o.delivery.Router.(*mx.Resolver)
	if !ok || r.Port != 2525 || !r.AllowPrivate || r.Hostname != "mx.example" || r.DNS.(*dnsclient.Client).Servers[0] != "127.0.0.1:5353" {
		t.Errorf("router: %+v", o.delivery.Router)
	}
	waits := o.delivery.Retry.(retry.Schedule)
	if len(waits) != 3 || waits[0] != time.Minute || waits[2] != 24*time.Hour || o.delivery.MaxWait != 24*time.Hour {
		t.Errorf("retry: %v, at most %v", waits, o.delivery.MaxWait)
	}
	if o.delivery.DelayAfter != time.Hour || o.delivery.Postmaster != "pm@mx.example" {
		t.Errorf("%+v", o.delivery)
	}
	if o.delivery.Lifetime != 5*24*time.Hour || o.delivery.Hostname != "mx.example" {
		t.Errorf("%+v", o.delivery)
	}
}

// Without flags the library's own defaults hold.
func TestOptionDefaults(t *testing.T) {
	o, err := parseOptions(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if d := o.delivery; d.Retry != nil || d.MaxWait != 0 || d.Lifetime != 0 {
		t.Errorf("%+v", d)
	}
	if r, ok := o.delivery.Router.(*mx.Resolver); !ok || r.Port != 25 || r.AllowPrivate {
		t.Errorf("router: %+v", o.delivery.Router)
	}
	if o.listen != "127.0.0.1:2525" || o.queue != "mail.db" || o.json {
		t.Errorf("%+v", o)
	}
}

func TestBadOptions(t *testing.T) {
	for _, args := range []string{
		"-retry 0s", "-retry 5m,", "-retry x", "-retry -1m", "-expire 5x", "-expire d", "-expire -1d", "-expire 99999999d", "-delay 0s", "-null-sender a@mx.example",
		"-log xml", "-max-size 0", "-max-size 9999999999", "-port 0 -dns 127.0.0.1:53", "-port 65536", "-dns localhost",
		"-relay localhost:25", "-relay smtp://localhost -policies", "-relay http://localhost", "more",
	} {
		if _, err := parseOptions(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

func TestHelp(t *testing.T) {
	var text strings.Builder
	if _, err := parseOptions([]string{"-h"}, &text); !errors.Is(err, flag.ErrHelp) {
		t.Error(err)
	}
	for _, name := range []string{"listen", "queue", "hostname", "relay", "dns", "port", "retry", "expire", "delay", "postmaster", "null-sender", "max-size", "log", "allow-private"} {
		if !strings.Contains(text.String(), "\n  -"+name) {
			t.Errorf("-%s is not explained", name)
		}
	}
}

func TestDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"5d": 120 * time.Hour, "1d12h": 36 * time.Hour, "90m": 90 * time.Minute, "100ms": 100 * time.Millisecond, "0d1s": time.Second,
	} {
		if got, err := parseDuration(in); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", in, got, err, want)
		}
	}
}

func TestRequote(t *testing.T) {
	for in, want := range map[string]string{
		"a@b":     "a@b",
		"a b@c":   `"a b"@c`,
		`a"b\c@d`: `"a\"b\\c"@d`,
		"a@b@c":   "a@b@c",
		"none":    "none",
	} {
		if got := requote(in); got != want {
			t.Errorf("requote(%q) = %q, want %q", in, got, want)
		}
	}
}
