package smtpclient

import "crypto/tls"

// Rung is how far down the ladder of encryption a server is met: one rung lower for each TLS handshake that failed.
type Rung int

const (
	// BestTLS is TLS as Options.TLSConfig has it. A server that offers none is met here, too.
	BestTLS Rung = iota
	// OldTLS is TLS 1.2 at most. That is also a shorter ClientHello, at which some fail. For [Opportunistic] sessions,
	// unless TLSConfig says otherwise, it includes TLS 1.0 and 1.1 and the cipher suites that Go doesn't use any more.
	OldTLS
	// Plaintext is no TLS although the server has offered it.
	Plaintext
)

// below returns o for the next rung, nil if there is none.
func (o *Options) below() *Options {
	c := *o
	switch t := o.TLSConfig; {
	case o.Rung < OldTLS && (t == nil || t.MinVersion < tls.VersionTLS13 && (t.MaxVersion == 0 || t.MaxVersion > tls.VersionTLS12)):
		c.Rung = OldTLS
	case o.Rung < Plaintext && o.plaintextWillDo():
		c.Rung = Plaintext
	default:
		return nil
	}
	return &c
}

// plaintextWillDo reports whether nobody demands anything of TLS: neither the caller, nor credentials, nor somebody who
// looks at certificates himself.
func (o *Options) plaintextWillDo() bool {
	t := o.TLSConfig
	return o.PlaintextFallback && o.TLS == Opportunistic && !o.Implicit && o.Auth == nil &&
		(t == nil || t.VerifyConnection == nil && t.VerifyPeerCertificate == nil)
}
