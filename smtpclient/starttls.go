package smtpclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
)

// startTLS encrypts the session by RFC 3207, unless it is not to be or need not be.
func (s *Session) startTLS() *Error {
	if s.tls != nil || s.o.TLS == NoTLS || s.o.Rung == Plaintext {
		return nil
	}
	if !s.ext.has("STARTTLS") {
		if s.o.TLS != Opportunistic {
			return s.failure(PhaseSTARTTLS, ErrNoTLS)
		}
		return nil
	}
	a, err := s.ask("STARTTLS", s.o.Timeouts.Command)
	switch {
	case err != nil:
		return s.failure(PhaseSTARTTLS, err)
	case a.code/100 != 2 && (!s.o.plaintextWillDo() || a.code == 421 || a.code/100 == 3):
		return s.refusal(PhaseSTARTTLS, a.reply())
	case a.code/100 != 2:
		s.o.Rung = Plaintext
		return nil
	case s.wire.r.Buffered() > 0:
		// Whatever was put there by somebody on the way must not be taken for an answer inside TLS.
		return s.failure(PhaseSTARTTLS, ErrInjected)
	}
	if err := s.handshake(); err != nil {
		return s.failure(PhaseSTARTTLS, err)
	}
	e := s.hello() // nothing said before counts any more
	if e != nil && e.Code == 0 && s.tls.Version >= tls.VersionTLS13 && !errors.Is(e, ErrProtocol) && !errors.Is(e, os.ErrDeadlineExceeded) {
		// Here the server's view of the handshake comes when the client is done with it.
		return s.failure(PhaseSTARTTLS, fmt.Errorf("%w: %w", ErrHandshake, e.Err))
	}
	return e
}

// handshake begins TLS. Its error wraps ErrHandshake if the certificate has nothing to do with it.
func (s *Session) handshake() error {
	c := s.o.tlsConfig()
	var refused bool
	if verify := c.VerifyConnection; verify != nil {
		c.VerifyConnection = func(state tls.ConnectionState) error {
			err := verify(state)
			refused = err != nil
			return err
		}
	}
	if verify := c.VerifyPeerCertificate; verify != nil {
		c.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
			err := verify(raw, chains)
			refused = err != nil
			return err
		}
	}
	state, err := s.wire.startTLS(c, s.o.Timeouts.Command)
	switch {
	case err == nil:
	case refused || errors.As(err, new(*tls.CertificateVerificationError)):
		return err
	default:
		return fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	s.tls = state
	s.encryption = &Encryption{Version: state.Version, CipherSuite: state.CipherSuite}
	if c.InsecureSkipVerify {
		s.encryption.Unverified = verify(c, *state)
	}
	return nil
}

// tlsConfig is what a handshake on o.Rung is made with.
func (o *Options) tlsConfig() *tls.Config {
	c := o.TLSConfig.Clone()
	if c == nil {
		c = &tls.Config{}
	}
	if c.ServerName == "" {
		c.ServerName = strings.TrimSuffix(o.ServerName, ".")
	}
	c.InsecureSkipVerify = o.TLS != VerifiedTLS
	if o.Rung == OldTLS && (c.MaxVersion == 0 || c.MaxVersion > tls.VersionTLS12) {
		c.MaxVersion = tls.VersionTLS12
	}
	if o.Rung == OldTLS && o.TLS == Opportunistic {
		allowAnything(c)
	}
	return c
}

// allowAnything allows what Go doesn't by itself: the alternative is plaintext.
func allowAnything(c *tls.Config) {
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS10
	}
	if c.CipherSuites == nil {
		for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			c.CipherSuites = append(c.CipherSuites, suite.ID)
		}
	}
}

// verify is crypto/tls's own check of a certificate, made by hand where its outcome is only recorded.
func verify(c *tls.Config, state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	o := x509.VerifyOptions{Roots: c.RootCAs, DNSName: c.ServerName, Intermediates: x509.NewCertPool()}
	if c.Time != nil {
		o.CurrentTime = c.Time()
	}
	for _, cert := range state.PeerCertificates[1:] {
		o.Intermediates.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(o)
	return err
}

// Encryption says how a session is encrypted.
type Encryption struct {
	Version     uint16 // tls.VersionTLS13, ...
	CipherSuite uint16 // tls.TLS_AES_128_GCM_SHA256, ...
	// Unverified is why the server's certificate doesn't prove its name, for a session that doesn't demand that it does.
	// It is nil if the certificate does.
	Unverified error
}

// String is such as "TLS 1.3, TLS_AES_128_GCM_SHA256, verified", and "plaintext" for nil.
func (e *Encryption) String() string {
	if e == nil {
		return "plaintext"
	}
	verified := "verified"
	if e.Unverified != nil {
		verified = "unverified: " + e.Unverified.Error()
	}
	return tls.VersionName(e.Version) + ", " + tls.CipherSuiteName(e.CipherSuite) + ", " + verified
}
