// Package mtasts holds routes against the policies by which domains say that their mail comes encrypted, and to which hosts:
// MTA-STS, RFC 8461. A [Router] around another [mx.Router] leaves out the hosts that an enforced policy doesn't allow, and
// demands [mx.Verified] TLS of the others.
//
// # Promises
//
//   - A policy that was seen is in force until it expires, whatever becomes of its TXT record, the DNS, the policy host, or, with
//     a [Store] that outlives it, this process. Only the domain itself can replace it, with a policy that is fetched.
//   - What the inner router demands is never loosened: the TLS it asks for, a host's Verify and Policy (which DANE may have put
//     there), the choice of hosts. Both count.
//   - A policy host can't hurt: what it sends is bounded and checked, one fetch in Timeout and one in five minutes is all it
//     gets, and only its own domain's mail waits for it, and only if that has no policy yet or no host left.
//   - Trouble with a policy that isn't there yet never stops mail (RFC 8461, section 3.3). That goes for the DNS, too: a name
//     server that doesn't answer for _mta-sts is like one without such a record.
//
// # Outcomes
//
// What a policy means for one host of a domain. The host is in the policy or not; its certificate proves its name to the system's
// roots, or not, or it has no TLS. "Told" is whether [Router.Observe] hears of the policy, for reports.
//
//	MTA-STS   MX host    TLS      outcome     told
//	absent    any        none     plaintext   no
//	absent    any        invalid  encrypted   no
//	absent    any        valid    encrypted   no
//	none      any        none     plaintext   no
//	none      any        invalid  encrypted   no
//	none      any        valid    encrypted   no
//	testing   any        none     plaintext   yes
//	testing   any        invalid  encrypted   yes
//	testing   any        valid    encrypted   yes
//	enforce   matched    none     refused     yes
//	enforce   matched    invalid  refused     yes
//	enforce   matched    valid    verified    yes
//	enforce   unmatched  any      left-out    yes
//
// A host that is left out, or refused in the handshake, makes room for the next one; when none is left, mail waits, and bounces at
// its expiry. At each attempt the domain is asked whether it has a new policy.
//
// # Life of a policy
//
// A Route asks the DNS for the record at _mta-sts.<domain>. If that announces a policy and none is kept, it waits for the fetch. If
// one is kept, it is used, and fetched again in the background when the announced id is another one, a day has passed, or half
// of max_age. There is no work without a Route: a domain that gets no mail for longer than max_age is met as if for the first
// time. A refresh is done without the DNS, if that fails, so that silencing it doesn't wear a policy out; but not for a domain that
// shows no record any more.
//
// A max_age of less than five minutes counts as five minutes, one of more than 31557600 seconds as that.
//
// # Where it belongs
//
// Around the router that finds hosts by MX records, and inside what chooses among routers, such as [mx.PerDomain]: a relay that
// the host program names has its demands in its own configuration, and the policies of the recipients' domains say nothing about
// it. Address literals have no policy.
//
// Hosts that pass have no Policy of their own, since Verified says all: a session with a host that has proved its name is as
// good for one domain as for another, if that domain's own route allows the host.
package mtasts
