package mtasts

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"syscall"

	"github.com/postroad/postroad/mx"
)

// FetchError says why a domain that announces a policy has none that can be used.
type FetchError struct {
	Domain string
	Result string // the name of this failure in reports: [FetchFailed], [Invalid] or [WebPKIInvalid]
	Err    error  // the cause
}

// The results of RFC 8460, section 4.3.2.2.
const (
	FetchFailed   = "sts-policy-fetch-error" // the policy host can't be reached, or answers with something else
	Invalid       = "sts-policy-invalid"     // the policy isn't one
	WebPKIInvalid = "sts-webpki-invalid"     // the policy host's certificate doesn't prove its name
)

// Error names the domain and the cause.
func (e *FetchError) Error() string { return "mtasts: " + e.Domain + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *FetchError) Unwrap() error { return e.Err }

// download fetches the policy of a domain (RFC 8461, section 3.3).
func (r *Router) download(ctx context.Context, domain string) (*Policy, error) {
	text, err := r.read(ctx, "https://mta-sts."+domain+"/.well-known/mta-sts.txt")
	switch {
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return nil, &FetchError{domain, WebPKIInvalid, err}
	case err != nil:
		return nil, &FetchError{domain, FetchFailed, err}
	}
	policy, err := parsePolicy(text)
	if err != nil {
		return nil, &FetchError{domain, Invalid, err}
	}
	return policy, nil
}

// read returns the text at a URL, or as much of it as shows that it is too long. It asks the transport itself, since an
// http.Client follows redirects.
func (r *Router) read(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", "Postroad (MTA-STS)")
	resp, err := r.transport().RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("policy host answers %d", resp.StatusCode)
	}
	contentType := resp.Header.Get("Content-Type")
	if media, _, _ := mime.ParseMediaType(contentType); media != "text/plain" {
		return "", fmt.Errorf("policy is %.80q, not text/plain", contentType)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPolicy+1))
	return string(body), err
}

func (r *Router) transport() http.RoundTripper {
	if r.Transport == nil {
		return newTransport()
	}
	return r.Transport
}

// newTransport returns a transport for one fetch. It keeps no connection and asks for no compression, so that what it holds and
// reads is bounded by the file. A configuration of one's own also means HTTP/1.1, which is enough for a file.
func newTransport() *http.Transport {
	dialer := &net.Dialer{ControlContext: publicOnly}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxPolicy,
	}
}

// publicOnly refuses to connect to an address that isn't public: anybody's DNS could point us at servers inside. It sees the
// address that is dialled, whatever the DNS said before.
func publicOnly(_ context.Context, _, address string, _ syscall.RawConn) error {
	dialled, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !mx.Public(dialled.Addr()) {
		return fmt.Errorf("%v is not public", dialled.Addr())
	}
	return nil
}
