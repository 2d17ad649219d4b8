// Package delivery is the heart of Postroad: a [Sender] takes messages and brings every recipient to an end.
//
// # Promises
//
//   - Durable before nil: when [Sender.Enqueue] returns nil, the message survives a kill and a power loss.
//   - Every recipient ends: delivered, failed and reported, or withdrawn. When delivery is given up is an absolute time,
//     fixed at Enqueue, and no limit or hold delays it.
//   - At least once, and duplicates are rare. The only window is from the end of the data to the commit of its answer. A
//     connection lost in it makes the outcome uncertain: no other host is tried in that attempt, the next one waits twice
//     as long and begins with the same host, its octets and Message-ID are the same, and the [Observer] is told. A kill in it
//     leaves no trace: such a message, of which each connection has eight at most, is sent again as soon as its lease has
//     ended.
//   - The outcome and its consequences are one commit: what became of a recipient, and the report that follows, are
//     stored together or not at all.
//   - One slow or dead destination delays no other, and one bad recipient fails none of its neighbours.
//   - Nothing a server, a DNS answer or a stored message says makes the Sender crash, leak or grow without bound.
//
// # The hops of a message
//
//  1. The host program calls [Sender.Enqueue] (enqueue.go).
//  2. The addresses are checked and sorted into jobs, one for each domain (envelope.go). While the body streams to the
//     queue, its line ends become CRLF; the header section is repaired as a submission agent does it, and gets a Received field
//     (internal/intake); parts are encoded if that is asked for (internal/reencode); and what comes of this is signed (signer.go).
//     Whom the Suppressor names has failed before that (suppressor.go).
//  3. The queue stores jobs and body in one transaction, and syncs.
//  4. The run loop is woken (sender.go, steps.go).
//  5. The scheduler says which lanes may go, and their due jobs are claimed (internal/schedule). Where the queue can lease a job as it
//     stores it, and the job would go at once or in a moment, step 3 does that, and the job is handed over instead (handover.go).
//  6. A worker, the place of one connection, takes the job (worker.go). The Suppressor is asked once more. The router names the
//     domain's hosts, what they demand of TLS, and the site whose limits hold (route.go).
//  7. The session of the job before is reused, if it is with a host of the route and was made on the same terms (session.go), or
//     a host is dialled; the next one if it gives trouble (visit.go).
//  8. One transaction sends the message; each answer lands on its recipient. The connection is then free for the next job.
//  9. For whoever is still pending, the retry policy says when to try again (internal/verdict).
//  10. What the sender is to be told becomes one report: who has failed and, where that is asked for, who is late and who has the
//     message from a server that doesn't report success itself (report.go, draft.go). It is signed as any message is.
//  11. One commit stores the job as it now is, together with the report (conclude.go, settle.go).
//
// # The states of a recipient
//
//	                   any 2xx to the end of the data
//	          +------------------------------------------------> Delivered
//	          |
//	Pending --+  5xx; suppressed; expired; given up      the report is composed,
//	 ^  ^     +----------------------------------> Failed ----------------------> Bounced
//	 |  |     |                                           or nobody wants one
//	 |  +-----+  4xx, no answer: after the policy's wait
//	 |        |
//	 +--------+  no answer to the end of the data: Uncertain, after twice the wait
//	          |
//	          +------------------------------------------------> Withdrawn
//	             Withdraw
//
// Failed and Bounced are usually one commit. They are two when the report can't be composed, because the stored message
// can't be read: the job then comes back for the report alone. Delay and success change no state by being reported, and no trouble
// with a report keeps either from being stored.
//
// # Reports
//
// A report is a message (RFC 3464) from the null sender to the reverse-path, in the queue like any other. Its recipients are those that
// NOTIFY of RFC 3461 asks for: failures unless it says otherwise; delays, once for a job after Config.DelayAfter, if it says DELAY,
// or nothing and Config.DelayWarnings is set; successes if it says SUCCESS and the server that has taken the message doesn't know
// DSN. One that does is told NOTIFY, ORCPT, RET and ENVID, and reports itself. The message's header section comes with each report,
// and with a failure the whole, if RET=FULL asks for it and it is no larger than 256 KiB.
//
// There is no report about what has the null sender itself. Of its failures Config.Postmaster is told, once, with NOTIFY=NEVER: the
// last word on the matter. The [Observer] hears of all of them in any case, as [Bounced] with a message whose From is "".
//
// # Several Senders
//
// A queue that is a [queue.Shared] may be sent from by several processes, each with a Sender of its own, of the same configuration.
// All jobs are everybody's, whoever has enqueued them. While Run runs it beats (shared.go): every 15 seconds, and within about a
// second where there is something new, it says how many connections it would use of each site, and uses what it is given.
//
//   - Connections: all Senders together never have more at a site than its limits allow one of them. A Sender with more than
//     its share has become closes connections as their dialogues end, and only then do others open theirs. Each finds by itself
//     what a site takes within its share. Where there are fewer than Senders they go round. Config.Concurrency is for each Sender.
//   - Rates: with a part of a site's connections goes that part of its rates. The rates of tenants, senders and sources are divided
//     evenly. In the long run they hold for all together; of bursts each has its part, and one at the least, and whoever joins
//     begins with it.
//   - Pauses: that a site has failed, or has asked for patience, the others know with their next beat, and one of them tries it
//     first. So it is with rules, limits and [Sender.Flush], and with what was seen of TLS.
//   - The queue's clock decides when something is due, expires, or is somebody's. That of the machine doesn't matter.
//   - A Sender that falls silent loses its leases and shares 45 seconds after its last beat; mail that it was sending may be sent
//     again. One that can't beat for 30 seconds begins nothing more, and stops what has not begun to transfer its message, so that
//     its connections are closed by then; what is being transferred goes on, and is committed when the queue is back. If it has
//     been away for all, nothing begins for another 10 seconds, so that what was sent meanwhile isn't sent again.
//   - Commands change jobs that no Sender has claimed: what another one has claimed is in flight ([ErrInFlight]), even if it waits there
//     for a connection, which takes 10 seconds at most.
//
// # What ends the process
//
// A job whose leases end without a commit may be what ends the process: no panic, which a Sender survives, but a stack that overflows, or
// memory that runs out. After two such ends in a row all that were under way are suspects (suspects.go), of which a Sender has one in its
// hands at a time; other mail goes on beside it. The one with which the process has ended three times more is held, and [Held] tells of
// it. The others are innocent, and are delivered. A kill from outside counts like any other end, so it takes three, each during an
// attempt at the same suspect, to hold one that is innocent. It goes on when it is released ([Sender.Release]). In a queue that
// has its own way to find the one, as boltqueue does, that comes first.
//
// # Plugging in
//
// The queue is any [queue.Queue], the way to a domain any [mx.Router], the waits any [retry.Policy]. [Observer] hears of
// everything that happens, and Config.Dial makes the connections. How many there are, and how fast mail goes, is said by a
// [shaping.Policy], and where they come from by [Source]. A [Signer], such as that of the package dkim, signs messages and
// reports, and Config.ReportText says what people read in these. A [Suppressor] says who is not to be sent mail; the package suppress
// has one that learns it from replies. Each of these may panic: that ends an attempt, or refuses a message, not the program.
//
// Two packages are for bulk mail: reversepath makes reverse-paths that name their recipients, and unsubscribe the header fields
// that let these leave.
//
// # What became of mail
//
//   - [Sender.Status] says everything known of a message, and [Sender.Find] of all mail to somebody: "where is the mail to Ann?"
//     has an answer before, during and after delivery, until the queue forgets finished messages.
//   - [Sender.Outcomes] yields how each recipient ends, from any place on that the host program has stored: it misses none,
//     whatever is killed.
//   - [Observer] is told of everything at once, in process. A kill can come between a commit and what is told of it.
//   - [Sender.Stats] has the figures, and Config.Log a line for each attempt.
package delivery
