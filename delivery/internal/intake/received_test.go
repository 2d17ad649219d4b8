package intake

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"testing"
)

func TestReceived(t *testing.T) {
	addr := netip.MustParseAddr
	const by = "\r\n\tby mx.example id new;\r\n"
	for _, tt := range []struct {
		name   string
		client Client
		want   string
	}{
		{"nobody", Client{}, "Received: by mx.example id new;\r\n"},
		{"all there is", Client{"client.example", addr("192.0.2.1"), "ESMTPS", &tls.ConnectionState{CipherSuite: tls.TLS_AES_128_GCM_SHA256}},
			"Received: from client.example ([192.0.2.1])\r\n\tby mx.example with ESMTPS id new tls TLS_AES_128_GCM_SHA256;\r\n"},
		{"IPv6", Client{Name: "a", Addr: addr("2001:db8::1%eth0")}, "Received: from a ([IPv6:2001:db8::1])" + by},
		{"IPv4 in IPv6", Client{Name: "a", Addr: addr("::ffff:192.0.2.1")}, "Received: from a ([192.0.2.1])" + by},
		{"a name only", Client{Name: "my_host"}, "Received: from my_host" + by},
		{"an address only", Client{Addr: addr("::1")}, "Received: from unknown ([IPv6:::1])" + by},
		{"a literal as name", Client{Name: "[IPv6:::1]"}, "Received: from [IPv6:::1]" + by},
		{"a protocol only", Client{Protocol: "local"}, "Received: from unknown\r\n\tby mx.example with local id new;\r\n"},
		{"an unknown cipher suite", Client{Name: "a", TLS: &tls.ConnectionState{CipherSuite: 0x1234}}, "Received: from a\r\n\tby mx.example id new tls 0x1234;\r\n"},
		{"a CR", Client{Name: "a\rb"}, "Received: from unknown" + by},
		{"a field", Client{Name: "a\r\nBcc: b", Protocol: "ESMTP\r\nBcc: c"}, "Received: from unknown" + by},
		{"a comment", Client{Name: "a(b", Protocol: "(b"}, "Received: from unknown" + by},
		{"a semicolon", Client{Name: "a;b", Protocol: "a;b"}, "Received: from unknown" + by},
		{"no ASCII", Client{Name: "bücher.example", Protocol: "é"}, "Received: from unknown" + by},
		{"too long", Client{Name: strings.Repeat("a", 256), Protocol: strings.Repeat("a", 61)}, "Received: from unknown" + by},
	} {
		o := options()
		o.Client = tt.client
		got := string(appendReceived(nil, &o))
		if want := tt.want + "\tWed, 04 Mar 2026 05:06:07 +0000\r\n"; got != want {
			t.Errorf("%s: %q, want %q", tt.name, got, want)
		}
	}
	o := options()
	o.Hostname = "mx.example(;"
	if got := string(appendReceived(nil, &o)); !strings.HasPrefix(got, "Received: by unknown id new;") {
		t.Errorf("an odd host name: %q", got)
	}
}

func TestMessageIDDomain(t *testing.T) {
	for from, want := range map[string]string{
		"From: ann@a.example":                               "a.example",
		"from: \"Ann, too\" <ann@A.Example>":                "a.example",
		"From: Zoë\r\n <zoë@bücher.example>, ann@a.example": "xn--bcher-kva.example",
		"From: ann@a.example\r\nFrom: ben@b.example":        "a.example",
		"From: ann@[192.0.2.1]":                             "[192.0.2.1]",
		"From: \"a b\"@a.example":                           "a.example",
		"From: Friends: ann@a.example;":                     "a.example",
		"From: =?iso-2022-jp?B?GyRCOzNFRBsoQg==?= <a@b.jp>": "b.jp",
		"From: nobody:;":                                    "example.com",
		"From: ann":                                         "example.com",
		"From: ann@a..b":                                    "example.com",
		"From: ann@a>b":                                     "example.com",
		"From:":                                             "example.com",
		"To: ann@a.example":                                 "example.com",
		"Bcc: x\r\nResent-From: ann@a.example":              "example.com",
		"From: " + strings.Repeat("ann@a.example,\r\n ", 1000) + "b@c": "example.com",
	} {
		head, _, _, err := read(strings.NewReader(from+"\r\nX: y\r\n\r\n"), options())
		if want := "Message-ID: <new@" + want + ">\r\n"; err != nil || !strings.HasSuffix(head, want) {
			t.Errorf("%.100q: %v, %q has no %q", from, err, head, want)
		}
	}
	o := options()
	o.Domain = ""
	if head, _, _, err := read(strings.NewReader(""), o); err != nil || !strings.HasSuffix(head, "Message-ID: <new@mx.example>\r\n") {
		t.Errorf("%v, %q", err, head)
	}
}

func TestDeclaredUTF8Stays(t *testing.T) {
	o := options()
	o.UTF8 = true
	in := whole + "Subject: ü\r\n"
	if head, _, f, err := read(strings.NewReader(in), o); err != nil || head != in || !f.UTF8 {
		t.Errorf("%q, %+v, %v", head, f, err)
	}
}

func TestReencode(t *testing.T) {
	o := options()
	o.Reencode = true
	long := strings.Repeat("x", 2000)
	for _, in := range []string{whole + "\n" + long, long} {
		head, body, f, err := read(strings.NewReader(in), o)
		if err != nil || !strings.Contains(head, "Content-Transfer-Encoding: quoted-printable\r\n") ||
			strings.ReplaceAll(body, "=\r\n", "") != "\r\n"+long+"\r\n" || f.EightBit {
			t.Errorf("%q, %q, %+v, %v", head, body, f, err)
		}
	}
	if _, _, f, err := read(strings.NewReader(whole+"\nfünf\n"), o); err != nil || f.EightBit {
		t.Errorf("8-bit: %+v, %v", f, err)
	}
	for in, want := range map[string]Error{
		whole + "Content-Type: multipart/mixed\n\nHi":                    {"header", 4, "multipart without a sound boundary", ErrMalformed},
		whole + "Content-Type: multipart/mixed; boundary=b\n\n--b\nHi\n": {"body", 6, "is neither a field nor the continuation of one, in the header section of a part", ErrMalformed},
	} {
		_, _, _, err := read(strings.NewReader(in), o)
		if got, ok := err.(*Error); !ok || *got != want {
			t.Errorf("%q: %v, want %v", in, err, &want)
		}
	}
}
