package mx_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/mx/mxtest"
)

func TestParseRelay(t *testing.T) {
	tests := []struct{ url, want string }{
		{"smtp://mail.example", "mail.example:25 opportunistic"},
		{"smtp://mail.example/", "mail.example:25 opportunistic"},
		{"SMTP://Mail.Example:2525", "mail.example:2525 opportunistic"},
		{"smtp://127.0.0.1:2525", "127.0.0.1:2525 opportunistic"},
		{"smtp://[::1]:2525", "::1:2525 opportunistic"},
		{"smtp://mail_server", "mail_server:25 opportunistic"},
		{"smtp://u:p@mail.example:587", "mail.example:587 verified u p"},
		{"smtp://u:p@localhost", "localhost:25 opportunistic u p"},
		{"smtp://u:p@127.0.0.2", "127.0.0.2:25 opportunistic u p"},
		{"smtp://u:p@[::1]", "::1:25 opportunistic u p"},
		{"smtp://u:p@10.0.0.1", "10.0.0.1:25 verified u p"},
		{"smtp+starttls://mail.example", "mail.example:587 verified"},
		{"smtp+starttls://u:p@localhost", "localhost:587 verified u p"},
		{"smtps://mail.example", "mail.example:465 verified implicit"},
		{"smtps://me%40mail.example:p%2Fq%3A@mail.example:4650", "mail.example:4650 verified implicit me@mail.example p/q:"},
		{"smtps://bücher.example", "xn--bcher-kva.example:465 verified implicit"},
		{"", "error"},
		{"mail.example", "error"},
		{"mail.example:25", "error"},
		{"smtp:mail.example", "error"},
		{"http://mail.example", "error"},
		{"smtp://", "error"},
		{"smtp://:25", "error"},
		{"smtp://mail.example:0", "error"},
		{"smtp://mail.example:65536", "error"},
		{"smtp://mail.example/path", "error"},
		{"smtp://mail.example?tls=no", "error"},
		{"smtp://mail.example?", "error"},
		{"smtp://mail.example#x", "error"},
		{"smtp://u@mail.example", "error"},
		{"smtp://u:@mail.example", "error"},
		{"smtp://:SECRET@mail.example", "error"},
		{"smtp://u:SEC/RET@mail.example", "error"},
		{"smtp://u:SECRET?@mail.example", "error"},
		{"smtp://u:SECRET%@mail.example", "error"},
		{"smtp://u:12/SECRET@mail.example", "error"},
		{"smtp://u:SECRET@mail example", "error"},
		{"smtp://u:SECRET@mail..example", "error"},
		{"SECRET://u:p@mail.example", "error"},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			r, err := mx.ParseRelay(tt.url)
			if err != nil {
				if tt.want != "error" {
					t.Fatal(err)
				}
				for _, part := range []string{"SEC", "RET", "secret"} {
					if strings.Contains(err.Error(), part) {
						t.Errorf("%v quotes the password", err)
					}
				}
				return
			}
			got := fmt.Sprintf("%s:%d %v", r.Host, r.Port, r.TLS)
			if r.Implicit {
				got += " implicit"
			}
			if r.Auth != nil {
				got += " " + r.Auth.Username + " " + r.Auth.Password
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRelayRoute(t *testing.T) {
	s := newServer(t, "mail.example A 127.0.0.1", "mail.example AAAA ::1", "none.example MX 0 .")
	s.SetFault("sick.example", mxtest.Fault{Rcode: mx.ServFail})
	auth := &mx.Credentials{Username: "u", Password: "SECRET"}
	tests := []struct {
		relay mx.Relay
		want  string
	}{
		{mx.Relay{Host: "mail.example"}, "mail.example=::1,127.0.0.1"},
		{mx.Relay{Host: "192.168.0.1", Auth: auth}, "192.168.0.1=192.168.0.1"},
		{mx.Relay{Host: "missing.example", Auth: auth}, "451 4.4.4"},
		{mx.Relay{Host: "none.example"}, "451 4.4.4"},
		{mx.Relay{Host: "sick.example", Auth: auth}, "451 4.4.3"},
		{mx.Relay{}, "451 4.4.4"},
		{mx.Relay{Host: "mail.example", NullSender: "reports@example.org"}, "mail.example=::1,127.0.0.1"},
		{mx.Relay{Host: "mail.example", NullSender: "reports"}, "451 4.4.4"},
		{mx.Relay{Host: "mail.example", NullSender: "reports@example.org> SIZE=1"}, "451 4.4.4"},
		{mx.Relay{Host: "mail.example", NullSender: "Reports <reports@example.org>"}, "451 4.4.4"},
	}
	for _, tt := range tests {
		tt.relay.DNS = s.DNS()
		route, err := tt.relay.Route(t.Context(), "example.org")
		check(t, route, err, tt.want)
		if err == nil && route.Hosts[0].NullSender != tt.relay.NullSender {
			t.Errorf("the null sender is %q", route.Hosts[0].NullSender)
		}
		if err != nil && strings.Contains(fmt.Sprintf("%v %#v", err, err), "SECRET") {
			t.Errorf("%v quotes the password", err)
		}
	}
	r := mx.Relay{Host: "MAIL.example", Implicit: true, TLS: mx.Verified, Auth: auth, DNS: s.DNS()}
	route, err := r.Route(t.Context(), "example.org")
	if err != nil {
		t.Fatal(err)
	}
	h := route.Hosts[0]
	if route.Site != "mail.example:465" || h.Name != "mail.example" || h.Port != 465 || h.TLS != mx.Verified || !h.Implicit || h.Auth != auth {
		t.Errorf("%+v", route)
	}
}

// Without a DNS of its own a relay is looked up like any host, in the hosts file too.
func TestRelayOnLocalhost(t *testing.T) {
	r, err := mx.ParseRelay("smtp://localhost:2525")
	if err != nil {
		t.Fatal(err)
	}
	route, err := r.Route(t.Context(), "example.org")
	if err != nil || !route.Hosts[0].Addrs[0].IsLoopback() || route.Hosts[0].Port != 2525 {
		t.Errorf("%+v, %v", route, err)
	}
}

func TestCredentialsHideThePassword(t *testing.T) {
	c := mx.Credentials{Username: "u", Password: "SECRET"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if s := fmt.Sprintf(verb, c) + fmt.Sprintf(verb, &c) + fmt.Sprintf(verb, []mx.Credentials{c}); strings.Contains(s, "SECRET") {
			t.Errorf("%s prints %s", verb, s)
		}
	}
}

func FuzzParseRelay(f *testing.F) {
	f.Add("smtp://mail.example:25")
	f.Add("smtps://u:SECRET@[::1]:465/")
	f.Add("smtp+starttls://u:SECRET@b\u00fccher.example")
	f.Add("smtp://u:12/SECRET@host")
	f.Fuzz(func(t *testing.T, url string) {
		r, err := mx.ParseRelay(url)
		if err != nil {
			if strings.Contains(url, "SECRET") && strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%v quotes the URL", err)
			}
			return
		}
		if r.Host == "" || r.Port == 0 || r.Auth != nil && (r.Auth.Username == "" || r.Auth.Password == "") {
			t.Errorf("%q: %+v", url, r)
		}
	})
}
