// Package smtpclient sends mail to one server: it opens a session, holds any number of transactions on it, and says for each
// recipient what became of it. Which server, when to try again and what to tell the sender are for others to decide.
//
// # Promises
//
//   - Every recipient gets exactly one [Result], whose Err is nil if and only if the server has taken responsibility. An
//     answer belongs to the command in whose place it comes, and what was answered before a connection was lost
//     counts.
//   - A recipient whose message may have arrived, although nobody said so, is Uncertain, and no other is: the connection was
//     lost between the end of the data and its answer.
//   - Half a message is never finished. If the body can't be read to its end, or ctx ends, the connection is dropped before
//     the end of the data.
//   - Every wait has an end ([Timeouts]), and so has everything a server says ([Limits]). What is kept of it is printable
//     UTF-8. The end of a context closes the connection at once.
//   - No address, parameter or body can become a second parameter, command or message (see below).
//   - No goroutine outlives the call that started it.
//   - Credentials are in no error and no transcript, even if a server repeats them.
//
// # The way of a message
//
//	Dial    connect -> greeting -> EHLO -> STARTTLS -> EHLO -> AUTH
//	Send    [RSET] -> MAIL -> RCPT ... -> DATA -> body -> dot       or
//	        [RSET] -> MAIL -> RCPT ... -> BDAT ... -> BDAT LAST     as often as Reusable says
//	Close   QUIT
//
// A [Client] does all of this for one host: it dials when there is a message, keeps the session for the next, and dials once more
// when the session turns out to be stale. Whoever wants to decide these things uses a [Session].
//
// The names in the first two lines are, in lower case, the values of [Phase], the body with its dot, or all of BDAT, being
// PhaseBody. RSET comes only after a transaction that was left open. How often the client waits for the server depends on
// what that offers:
//
//	PIPELINING and CHUNKING   once for a message of up to 64 KiB, which goes out in one piece; twice for a larger one,
//	                          which isn't sent before somebody takes it
//	PIPELINING                twice: MAIL, RCPT and DATA go together
//	CHUNKING                  once for each command and each 64 KiB
//	neither                   once for each command, and for the body
//
// [Session.SendAll] sends many messages, and with PIPELINING and CHUNKING waits once for as many as 16 of them.
//
// What goes out in one piece can't be taken back: if the connection is lost before its first answer comes, its recipients are
// Uncertain. So it waits for those answers on a session that was idle for more than a second, and behind RSET.
//
// One Send is one transaction, or more: one for as many recipients as the server takes at once, be it that it announces a
// limit or refuses the next; and a second one if an extension that can be done without is refused. A server that offers
// CHUNKING and doesn't know BDAT is the caller's business, or a Client's ([ErrChunking]), as that takes another session.
//
// # Opening a session
//
// [DialAny] connects to the addresses of a host as RFC 8305 has it, and goes on with the first that connects. Where a host
// turns us away before the first message, its other addresses are tried once, the other family's first.
//
// TLS that fails takes the connection with it. The same address is then met one rung lower: with TLS 1.2 at most, and, if
// the caller allows it and nobody demands otherwise, without TLS. A certificate that isn't liked, and plaintext that somebody has
// put behind the answer to STARTTLS, lead nowhere but out.
//
// Credentials are used with the strongest mechanism that both sides have, and never with a weaker one after that. SCRAM makes
// the server prove that it knows the password, and is bound to the TLS session if the server knows how: tls-exporter
// (RFC 9266) for TLS 1.3, tls-unique or else tls-server-end-point (RFC 5929) for older ones.
//
// A server that wants to be rid of an idle session says 421, or nothing, and closes it. [Session.Reusable] and
// [Session.Send] look before they speak, so that most of that is found out for nothing; [Session.Err] has its words.
//
// # Bodies and line ends
//
// A body is text whose lines end in CRLF; it arrives as it is, with a CRLF at its end if it had none. A CR or LF that stands
// alone leaves as CRLF: some servers take it for a line end and others don't, and a dot between two readings of the same
// octets has been used to smuggle a second message into the first. A NUL is left out for the same reason, since some servers
// leave it out before they look for the end. Long lines are not looked for.
//
// # Addresses
//
// An address with a control character, a space, "<" or ">" is refused, even where RFC 5321 allows it in quotes: servers differ
// in how they take a command apart. Such a refusal is a Result with the reply that a server could have given, and a
// [*SyntaxError]; the session and the other recipients are not affected.
//
// # Extensions
//
// RFC 5321 (SMTP) and RFC 2033 (LMTP, [Options].LMTP) are spoken, with these extensions where the server offers them:
//
//	RFC 1870                 SIZE, declared, and compared with the server's limit
//	RFC 2034, RFC 3463       ENHANCEDSTATUSCODES
//	RFC 2852                 DELIVERBY
//	RFC 2920                 PIPELINING
//	RFC 3030                 CHUNKING; not BINARYMIME
//	RFC 3207, RFC 8314       STARTTLS, and TLS from the first octet
//	RFC 3461, RFC 6533       DSN, also for addresses that aren't ASCII
//	RFC 4954                 AUTH, with SCRAM-SHA-256 and -PLUS (RFC 5802, RFC 7677), OAUTHBEARER (RFC 7628), XOAUTH2,
//	                         PLAIN (RFC 4616) and LOGIN
//	RFC 6152                 8BITMIME; done without if it isn't offered, as such servers let octets pass
//	RFC 6531                 SMTPUTF8, where an address or the caller needs it
//	RFC 6710                 MT-PRIORITY
//	RFC 8689                 REQUIRETLS
//	RFC 9422                 LIMITS
//
// The types of their parameters are those of github.com/emersion/go-smtp; of its RcptOptions, Notify and OriginalRecipient
// are sent.
package smtpclient
