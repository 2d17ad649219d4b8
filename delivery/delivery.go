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
//     queue, its line ends become CRLF, Bcc is cut out, and Date and Message-ID are made if they are missing
//     (internal/intake).
//  3. The queue stores jobs and body in one transaction, and syncs.
//  4. The run loop is woken (sender.go, run.go).
//  5. The scheduler says which lanes may go, and their due jobs are claimed (internal/schedule).
//  6. A worker, the place of one connection, takes the job (worker.go). The router names the domain's hosts, what they demand of
//     TLS, and the site whose limits hold (route.go).
//  7. The session of the job before is reused, if it is with a host of the route and was made on the same terms (session.go), or
//     a host is dialled; the next one if it gives trouble (visit.go).
//  8. One transaction sends the message; each answer lands on its recipient. The connection is then free for the next job.
//  9. For whoever is still pending, the retry policy says when to try again (internal/verdict).
//  10. For whoever has failed, a report to the sender is composed (report.go).
//  11. One commit stores the job as it now is, together with the report (conclude.go, settle.go).
//
// # The states of a recipient
//
//	                   any 2xx to the end of the data
//	          +------------------------------------------------> Delivered
//	          |
//	Pending --+  5xx; expired; the policy gives up       the report is composed,
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
// can't be read: the job then comes back for the report alone.
//
// # Plugging in
//
// The queue is any [queue.Queue], the way to a domain any [mx.Router], the waits any [retry.Policy]. [Observer] hears of
// everything that happens, and Config.Dial makes the connections. How many there are, and how fast mail goes, is said by a
// [shaping.Policy], and where they come from by [Source]. Each of these may panic: that ends an attempt, not the program.
// Nothing need be plugged in to watch: [Sender.Stats] has the figures.
package delivery
