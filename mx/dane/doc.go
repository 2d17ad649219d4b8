// Package dane protects the way to a mail host by DANE (RFC 7672): the host's zone says in TLSA records, signed by DNSSEC, which
// certificate the host has. Then nobody on the way can pretend to be the host, nor that it has no TLS. A [Router] around
// another [mx.Router] demands that certificate, and leaves out the hosts of which nobody can tell whether they have one.
//
// # Promises
//
//   - What is believed is what the DNS vouches for ([mx.Answer.Authentic]): the domain's MX records, or that it has none; the
//     host's address, or an alias that is the host's name; the TLSA records themselves. If one of them isn't signed, the
//     host is what it was for the inner router. RFC 7672, section 2.2.1, would allow DANE for the hosts of unsigned
//     domains; but whoever forges MX records names a host of his own.
//   - A failure is never taken for a lack of records. A host whose records can't be looked up, or are forged, isn't used at all.
//   - What the inner router demands is never loosened: the TLS it asks for, a host's Verify and Policy, the choice of hosts. A
//     host that it wants [mx.Verified], as for MTA-STS, has to prove its name to the public authorities and itself by DANE.
//   - A zone can't hurt: records, certificates, keys and time are bounded.
//
// # Outcomes
//
// What is signed, and what that means for a host that the inner router leaves to its own devices ([mx.Opportunistic]). The
// host's certificate is the right one by the records, or another, or it has no TLS. A host that is left out, or refused in the
// handshake, makes room for the next one; when none is left, mail waits, and bounces at its expiry.
//
//	MX        address   TLSA      TLS    outcome
//	any       failed    any       any    left-out
//	unsigned  unsigned  any       none   plaintext
//	unsigned  unsigned  any       other  encrypted
//	unsigned  unsigned  any       right  encrypted
//	unsigned  signed    any       none   plaintext
//	unsigned  signed    any       other  encrypted
//	unsigned  signed    any       right  encrypted
//	signed    unsigned  any       none   plaintext
//	signed    unsigned  any       other  encrypted
//	signed    unsigned  any       right  encrypted
//	signed    signed    absent    none   plaintext
//	signed    signed    absent    other  encrypted
//	signed    signed    absent    right  encrypted
//	signed    signed    unsigned  none   plaintext
//	signed    signed    unsigned  other  encrypted
//	signed    signed    unsigned  right  encrypted
//	signed    signed    unusable  none   refused
//	signed    signed    unusable  other  encrypted
//	signed    signed    unusable  right  encrypted
//	signed    signed    usable    none   refused
//	signed    signed    usable    other  refused
//	signed    signed    usable    right  authenticated
//	signed    signed    failed    any    left-out
//
// # Certificates
//
// Records of usage DANE-EE(3) name the host's certificate or key; names and dates in that certificate don't matter. Those of
// usage DANE-TA(2) name who has issued it: it must be valid now, and prove a name of the host or of the domain (RFC 7672,
// section 3.2.2). Usages 0 and 1, which need public authorities, are none for mail. Either names a certificate or a public key,
// as a whole or by its SHA-256 or SHA-512 digest; where there are digests of both kinds for one usage and selector, the
// stronger count (RFC 7671, section 9).
//
// # Where it belongs
//
// Around the router that finds hosts by MX records, and inside what chooses among routers, such as [mx.PerDomain]; with package
// mtasts in either order. Around an [mx.Relay] it protects the way to the relay, whatever the domain is.
package dane
