package mtasts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const policyText = "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.org\r\nmax_age: 604800\r\n"

// answer serves a text of a type.
func answer(contentType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{contentType}
		io.WriteString(w, text)
	}
}

// raw serves octets that need not be HTTP.
func raw(octets string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			io.WriteString(conn, octets)
			conn.Close()
		}
	}
}

// stall serves the beginning of something, and nothing more.
func stall(beginning string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if beginning != "" {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Length", "1000") // or the end of the connection could be that of the policy
			io.WriteString(w, beginning)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}
}

// drip serves a policy that never ends, an octet at a time, as fast as the client takes it.
func drip(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, "x"); err != nil {
			return
		}
		w.(http.Flusher).Flush()
	}
}

// Real HTTPS: what a policy host may do wrong, and how that is reported (RFC 8461, section 3.3; RFC 8460, section 4.3.2.2).
func TestHTTPS(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	good := ca.issue(nil, "mta-sts.example.org")
	plain := answer("text/plain", policyText)
	for name, c := range map[string]struct {
		certificate tls.Certificate
		handler     http.HandlerFunc
		result      string // of the fetch; "" if it succeeds
	}{
		"good":                      {good, plain, ""},
		"charset":                   {good, answer("text/plain; charset=utf-8", policyText), ""},
		"other parameters":          {good, answer("TEXT/PLAIN;charset=iso-8859-1; x", policyText), ""},
		"bare LF":                   {good, answer("text/plain", strings.ReplaceAll(policyText, "\r", "")), ""},
		"repeated and unknown keys": {good, answer("text/plain", policyText+"mode: none\r\nx: y\r\n"), ""},
		"wildcard certificate":      {ca.issue(nil, "*.example.org"), plain, ""},
		"64 KiB":                    {good, answer("text/plain", pad(policyText, maxPolicy)), ""},

		"another name":           {ca.issue(nil, "example.org", "www.example.org"), plain, WebPKIInvalid},
		"wildcard too far up":    {ca.issue(nil, "*.org"), plain, WebPKIInvalid},
		"name in the subject":    {ca.issue(func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "mta-sts.example.org"} }), plain, WebPKIInvalid},
		"expired certificate":    {ca.issue(expired, "mta-sts.example.org"), plain, WebPKIInvalid},
		"unknown authority":      {stranger.issue(nil, "mta-sts.example.org"), plain, WebPKIInvalid},
		"redirect":               {good, http.RedirectHandler("https://mta-sts.example.org/", http.StatusMovedPermanently).ServeHTTP, FetchFailed},
		"redirect with a policy": {good, status(302, plain), FetchFailed},
		"404":                    {good, status(404, plain), FetchFailed},
		"500":                    {good, status(500, plain), FetchFailed},
		"203":                    {good, status(203, plain), FetchFailed},
		"204":                    {good, status(204, func(http.ResponseWriter, *http.Request) {}), FetchFailed},
		"HTML":                   {good, answer("text/html", policyText), FetchFailed},
		"octets":                 {good, answer("application/octet-stream", policyText), FetchFailed},
		"no type":                {good, raw("HTTP/1.1 200 OK\r\n\r\n" + policyText), FetchFailed},
		"garbage for a type":     {good, answer(";;text/plain", policyText), FetchFailed},
		"not HTTP":               {good, raw("220 mail.example.org ESMTP\r\n"), FetchFailed},
		"nothing":                {good, raw(""), FetchFailed},
		"cut off":                {good, raw("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n" + policyText), FetchFailed},
		"endless headers":        {good, raw("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 1e5)), FetchFailed},
		"endless 1xx":            {good, raw(strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n", 1e4)), FetchFailed},
		"hangs":                  {good, stall(""), FetchFailed},
		"hangs in the policy":    {good, stall(policyText), FetchFailed},
		"over 64 KiB":            {good, answer("text/plain", pad(policyText, maxPolicy+1)), Invalid},
		"endless":                {good, drip, Invalid},
		"empty":                  {good, answer("text/plain", ""), Invalid},
		"garbage":                {good, answer("text/plain", "hello\x00"), Invalid},
		"compressed":             {good, answer("text/plain", "\x1f\x8b\x08\x00\x00\x00"), Invalid},
		"too many mx":            {good, answer("text/plain", policyText+strings.Repeat("mx: a\n", 100)), Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			defer w.Close()
			w.announce("example.org", "1", serveTLS(t, ca.pool(), c.certificate, c.handler))
			if strings.HasPrefix(name, "hangs") {
				w.Timeout = 300 * time.Millisecond
			}
			var failed *FetchError
			w.Observe = func(e Event) {
				if f, ok := e.(Failed); ok && !errors.As(f.Err, &failed) {
					t.Errorf("failed with %v", f.Err)
				}
			}
			want := open
			if c.result == "" {
				want = enforced
			}
			w.expect(w, "example.org", want)
			switch {
			case (failed != nil) != (c.result != ""):
				t.Errorf("failed: %v", failed)
			case failed != nil && (failed.Result != c.result || failed.Domain != "example.org" || len(failed.Error()) > 500):
				t.Errorf("%s: %v", failed.Result, failed)
			}
		})
	}
}

func status(code int, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Location", "https://mta-sts.example.org/.well-known/mta-sts.txt")
		w.WriteHeader(code)
		h(w, r)
	}
}

// serveTLS starts an HTTPS server, and returns what fetches from it as a Router does by itself.
func serveTLS(t *testing.T, roots *x509.CertPool, c tls.Certificate, h http.HandlerFunc) http.RoundTripper {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := fmt.Sprint(r.Method, " ", r.Host, r.URL, " ", r.Header["Accept-Encoding"]); got != "GET mta-sts.example.org/.well-known/mta-sts.txt []" {
			t.Errorf("asked %s", got)
		}
		h(w, r)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{c}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := newTransport()
	transport.TLSClientConfig.RootCAs = roots
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != "mta-sts.example.org:443" {
			t.Errorf("dialled %s", addr)
		}
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	return transport
}

// A host that takes the connection and says nothing, and one that isn't there.
func TestNoTLS(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, there := range []bool{true, false} {
		if !there {
			listener.Close()
		}
		w := newWorld(t)
		w.Timeout = 300 * time.Millisecond
		transport := newTransport()
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, listener.Addr().String())
		}
		w.announce("example.org", "1", transport)
		w.expect(w, "example.org", open)
	}
}

// A policy host leads nowhere inside, unless the host program's own Transport does.
func TestPublicOnly(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if conn, err := newTransport().DialContext(t.Context(), "tcp", listener.Addr().String()); err == nil {
		conn.Close()
		t.Error("connected to loopback")
	}
	for address, want := range map[string]bool{
		"8.8.8.8:443": true, "[2a00:1450:4001::1]:443": true, "[::ffff:8.8.8.8]:443": true,
		"127.0.0.1:443": false, "10.0.0.1:443": false, "169.254.169.254:443": false, "[::1]:443": false, "[fe80::1%eth0]:443": false,
		"[fd00::1]:443": false, "[::ffff:10.0.0.1]:443": false, "[64:ff9b::a00:1]:443": false, "nonsense": false,
	} {
		if err := publicOnly(t.Context(), "tcp", address, nil); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	r := new(Router)
	if tr, ok := r.transport().(*http.Transport); !ok || tr.Proxy != nil || !tr.DisableKeepAlives || tr.DialContext == nil || tr.TLSClientConfig.InsecureSkipVerify {
		t.Errorf("transport %+v", r.transport())
	}
	if r.timeout() != time.Minute || r.store() != Store(&r.memory) || fmt.Sprintf("%T %T", r.inner(), r.dns()) != "*mx.Resolver *mx.SystemDNS" {
		t.Error("the zero value has other defaults")
	}
	r.Close()
}
