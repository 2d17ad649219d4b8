// # Protection on the way
//
// What a message demands of its connections adds to what its route demands: [queue.TLS] and [mx.TLS]. A router may tighten that by what
// the recipient's domain says of itself, as those of packages mtasts and dane do; the Sender doesn't know of either.
//
// Where nobody demands anything, a message is encrypted if the host can, whatever its certificate says. It goes in plaintext to a
// host that offers no TLS; to one whose TLS fails only once it has waited for an attempt since that began, and never with
// credentials. What a domain has shown is remembered for 30 days after it was last seen: TLS, and certificates that prove their
// hosts' names. A domain that has lost it gets its mail later, by Config.DowngradeAfter, and the observer a [Downgraded];
// a host that has lost it gets credentials no more. The memory is in the queue's notes, if the queue is a [queue.Notes], so that it outlives the process.
//
// A message that demands [queue.RequireTLS] says REQUIRETLS (RFC 8689) to hosts whose name DNSSEC or MTA-STS vouches for, whose
// certificate proves it, publicly or by DANE, and who offer that extension. If none of the domain's hosts does, it bounces
// with 5.7.30; whatever else is missing may come back, so that it waits. Its reports are as strict, but go to hosts that don't
// know REQUIRETLS, too, and have headers only. [queue.TLSOptional], or the header field "TLS-Required: No", has a message
// delivered as if there were neither MTA-STS nor DANE, nor a memory of TLS, and in plaintext as soon as TLS fails. What the host
// program demands of its own routes holds all the same.
//
// The table has what becomes of a message that demands nothing, or one of these, with both routers around a resolver. MTA-STS:
// the domain has no policy, one in testing, or an enforced one, which allows the host or doesn't (unmatched). DANE: the domain isn't
// signed, or it is, and its host's TLSA records are absent, unusable, usable, or can't be looked up (failed). The host has no
// TLS (none), its handshakes fail (broken), or its certificate
//
//	other     proves nothing
//	named     proves the host's name to public authorities
//	listed    is in the usable TLSA records
//	both      does both
//	unaware   does both, of a host that doesn't offer REQUIRETLS as the others do
//
// A message goes in plaintext at the first attempt, or later at the second; or encrypted; or it waits, until it is
// delivered or expires; or it bounces.
//
//	demand       MTA-STS          DANE                      host                              outcome
//	nothing      absent,testing   unsigned,absent           none                              plaintext
//	nothing      absent,testing   unsigned,absent           broken                            later
//	nothing      absent,testing   unsigned,absent           other,named,listed,both,unaware   encrypted
//	nothing      absent,testing   unusable                  none,broken                       waits
//	nothing      absent,testing   unusable                  other,named,listed,both,unaware   encrypted
//	nothing      absent,testing   usable                    none,broken,other,named           waits
//	nothing      absent,testing   usable                    listed,both,unaware               encrypted
//	nothing      enforced         unsigned,absent,unusable  none,broken,other,listed          waits
//	nothing      enforced         unsigned,absent,unusable  named,both,unaware                encrypted
//	nothing      enforced         usable                    none,broken,other,named,listed    waits
//	nothing      enforced         usable                    both,unaware                      encrypted
//	nothing      absent,testing   failed                    any                               waits
//	nothing      enforced         failed                    any                               waits
//	nothing      unmatched        any                       any                               waits
//	optional     any              any                       none,broken                       plaintext
//	optional     any              any                       other,named,listed,both,unaware   encrypted
//	requiretls   absent,testing   unsigned                  any                               waits
//	requiretls   absent,testing   absent,unusable           none,broken,other,listed          waits
//	requiretls   absent,testing   absent,unusable           named,both                        encrypted
//	requiretls   absent,testing   absent,unusable           unaware                           bounces
//	requiretls   absent,testing   usable                    none,broken,other,named           waits
//	requiretls   absent,testing   usable                    listed,both                       encrypted
//	requiretls   absent,testing   usable                    unaware                           bounces
//	requiretls   enforced         unsigned,absent,unusable  none,broken,other,listed          waits
//	requiretls   enforced         unsigned,absent,unusable  named,both                        encrypted
//	requiretls   enforced         unsigned,absent,unusable  unaware                           bounces
//	requiretls   enforced         usable                    none,broken,other,named,listed    waits
//	requiretls   enforced         usable                    both                              encrypted
//	requiretls   enforced         usable                    unaware                           bounces
//	requiretls   absent,testing   failed                    any                               waits
//	requiretls   enforced         failed                    any                               waits
//	requiretls   unmatched        any                       any                               waits
package delivery
