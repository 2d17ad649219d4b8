package mx_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/postroad/postroad/mx"
)

// siteOf returns the site of a domain with these MX hosts.
func siteOf(t *testing.T, providers map[string]string, hosts ...string) string {
	t.Helper()
	dns := dnsFunc(func(_ context.Context, name string, t mx.Type) (mx.Answer, error) {
		switch t {
		case mx.TypeA:
			return mx.Answer{Records: []mx.Record{{Addr: netip.MustParseAddr("8.8.8.8")}}}, nil
		case mx.TypeMX:
			var a mx.Answer
			for i, h := range hosts {
				a.Records = append(a.Records, mx.Record{Preference: uint16(i), Host: h})
			}
			return a, nil
		}
		return mx.Answer{}, nil
	})
	route, err := (&mx.Resolver{DNS: dns, Providers: providers}).Route(t.Context(), "x.example")
	if err != nil {
		t.Fatal(err)
	}
	return route.Site
}

func TestSite(t *testing.T) {
	tests := []struct {
		hosts []string
		want  string
	}{
		{[]string{"aspmx.l.google.com", "alt1.aspmx.l.google.com", "aspmx2.googlemail.com"}, "google"},
		{[]string{"gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com"}, "google"},
		{[]string{"SMTP.Google.com"}, "google"},
		{[]string{"contoso-com.mail.protection.outlook.com"}, "microsoft"},
		{[]string{"contoso-com.l-v1.mx.microsoft"}, "microsoft"},
		{[]string{"outlook-com.olc.protection.outlook.com"}, "microsoft"},
		{[]string{"contoso-cn.mail.protection.partner.outlook.cn"}, "microsoft-china"},
		{[]string{"mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net"}, "yahoo"},
		{[]string{"mx-aol.mail.gm0.yahoodns.net"}, "yahoo"},
		{[]string{"mx01.mail.icloud.com", "mx02.mail.icloud.com"}, "apple"},
		{[]string{"smtp-in.orange.fr"}, "orange"},
		{[]string{"mx1a1.comcast.net", "mx2h1.comcast.net"}, "comcast"},
		{[]string{"mx00.emig.gmx.net", "mx01.emig.gmx.net"}, "gmx"},
		{[]string{"mx-ha02.web.de", "mx-ha03.web.de"}, "gmx"},
		{[]string{"eu-smtp-inbound-1.mimecast.com", "eu-smtp-inbound-2.mimecast.com"}, "mimecast"},
		{[]string{"mxa-00012301.gslb.pphosted.com", "mxb-00012301.gslb.pphosted.com"}, "proofpoint"},
		{[]string{"mxa.mailgun.org", "mxb.mailgun.org"}, "mailgun"},
		{[]string{"mx.zoho.eu", "mx2.zoho.eu"}, "zoho"},
		{[]string{"in1-smtp.messagingengine.com"}, "fastmail"},
		{[]string{"mail.protonmail.ch", "mailsec.protonmail.ch"}, "proton"},
		{[]string{"mxbiz1.qq.com"}, "qq"},
		{[]string{"163mx01.mxmail.netease.com"}, "netease"},
		{[]string{"mx.yandex.net"}, "yandex"},
		{[]string{"mxs.mail.ru"}, "mail.ru"},
		{[]string{"mx1.mail.ovh.net"}, "ovh"},
		{[]string{"mx00.ionos.de", "mx01.ionos.de"}, "ionos"},

		// Not all of one provider.
		{[]string{"aspmx.l.google.com", "backup.x.example"}, "aspmx.l.google.com,backup.x.example"},
		{[]string{"backup.x.example", "aspmx.l.google.com"}, "aspmx.l.google.com,backup.x.example"},
		{[]string{"aspmx.l.google.com", "mx01.mail.icloud.com"}, "aspmx.l.google.com,mx01.mail.icloud.com"},
		// Not the provider's.
		{[]string{"notgoogle.com"}, "notgoogle.com"},
		{[]string{"google.com.evil.example"}, "google.com.evil.example"},
		{[]string{"c-192-0-2-1.hsd1.ca.comcast.net"}, "c-192-0-2-1.hsd1.ca.comcast.net"},
		{[]string{"ip-192-0-2-1.ip.secureserver.net"}, "ip-192-0-2-1.ip.secureserver.net"},
		// Nobody's.
		{[]string{"b.example", "a.example"}, "a.example,b.example"},
		{[]string{"[8.8.4.4]"}, "8.8.4.4"},
		{nil, "x.example"},
	}
	for _, tt := range tests {
		if got := siteOf(t, nil, tt.hosts...); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.hosts, got, tt.want)
		}
	}
}

func TestProviders(t *testing.T) {
	own := mx.Providers()
	own["mx.example.net"] = "example"
	own["test.google.com"] = ""
	own["web.de"] = "web"
	for host, want := range map[string]string{
		"a.mx.example.net": "example", "mx.example.net": "example", "example.net": "example.net", "amx.example.net": "amx.example.net",
		"a.test.google.com": "a.test.google.com", "smtp.google.com": "google", "mx-ha02.web.de": "web",
	} {
		if got := siteOf(t, own, host); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	if got := siteOf(t, map[string]string{}, "smtp.google.com"); got != "smtp.google.com" {
		t.Errorf("with an empty table: %s", got)
	}
	if got := siteOf(t, nil, "a.mx.example.net"); got != "a.mx.example.net" {
		t.Errorf("the copy isn't one: %s", got)
	}
	for name, site := range mx.Providers() {
		if name != strings.ToLower(strings.Trim(name, ".")) || !strings.Contains(name, ".") || site == "" {
			t.Errorf("%q: %q", name, site)
		}
	}
}

func ExampleProviders() {
	providers := mx.Providers()
	providers["mx.example.net"] = "example"
	router := &mx.Resolver{Providers: providers}
	fmt.Println(router.Providers["mx.example.net"], router.Providers["googlemail.com"])
	// Output: example google
}
