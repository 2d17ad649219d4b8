// Package pgqueue keeps a mail queue in a PostgreSQL database: for programs that run as several processes, and for mail that is
// to be sent if, and only if, a transaction of the host program commits.
//
// # Promises
//
//   - When Enqueue returns nil, the message, with its body and all its jobs, is committed, and so is what Commit was given. An error
//     means that it isn't, and only [queue.ErrInDoubt] that this can't be known: the connection broke while the answer was
//     on its way. Repeating the call settles it. What a commit survives is the server's to say; with synchronous_commit off
//     for the pool's role, Enqueue promises nothing.
//   - What [Queue.EnqueueTx] stores is there if the host program's transaction commits, and else it isn't.
//   - A job has one owner, however many processes claim at once and however they die. A claim is one statement, which skips
//     what another one has just locked and waits for nobody; a commit is conditional on the token.
//   - Claiming takes the same time whether a thousand jobs wait or a million: what is leased, held or finished is not in the indexes that
//     claims read.
//   - A message of up to 256 KiB, no recipient of which has ended, is enqueued by one statement, in one round trip; a job without bounces
//     is committed by one. Callers that come while such a statement is on its way share the next one, and its sync; nobody waits for company.
//     A body of any size passes through in pieces of 256 KiB, and is written once. One that this process has stored a moment
//     ago isn't read again: up to 16 MiB of them are kept in memory for the first claim. Others are opened as they are stored:
//     by a statement that callers share.
//   - EnqueueLeased is the same statement, which leases as well: for mail that is sent at once by who takes it in, and then needs
//     no claim.
//   - A method ends with its ctx. When a change is on its way by then, the server is asked to stop, and has a second to say which way
//     it went.
//   - Nothing hangs on a session: no lock, no setting, and no prepared statement unless the pool's mode says so. So a pool of
//     sessions such as PgBouncer in transaction mode may lie between; see below. The queue's own transactions have enable_seqscan
//     and jit off and plan_cache_mode = force_generic_plan, each for itself, so that no plan depends on how full the queue was
//     when it was made; those of the host program stay as they are.
//
// Not promised: the records have no checksums of their own (initdb --data-checksums is the server's), and there is no limit to what is
// taken in but the disk, which is [queue.ErrFull] and stops commits, too. Lapses don't tell a job that ends its process again and again
// from those that the process had claimed beside it; a Sender finds out, with Notes.
// What a call has leased whose answer was lost with its connection is claimable after the next Beat of this process if that comes within a
// minute, and else at the end of the lease.
//
// # Time
//
// What is due, leased or expired is judged by the times in requests, and not by the server's clock. Processes that share a queue
// take them from [Queue.Now], so that their machines may differ by any amount; by their own clocks, one that is fast takes over the
// leases of others too early. The server's clock alone judges what has to do with Beat, [Options].Retention, and bodies that
// were given up while they were written.
//
// # Rights
//
// [Open] creates the schema, or brings it up to date, as a role that may. Another role then needs no more than
//
//	GRANT USAGE ON SCHEMA postroad TO mailer;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA postroad TO mailer;
//	GRANT USAGE ON ALL SEQUENCES IN SCHEMA postroad TO mailer;
//
// and [Queue.EnqueueTx] the same for the role of the host program's transaction. Migrations are one transaction under a lock; a
// schema that is newer than the program is [queue.ErrVersion]. Notifications use the channel that has the schema's name.
//
// Processes of the version before that are running go on to work after a migration, but are to be replaced soon. The third builds the
// indexes of jobs anew, a second or two for a million, and older processes can't use them: they claim slowly while much waits.
//
// # Pools
//
// Statements run in the pool's mode (default_query_exec_mode in its address). The default, which prepares statements, is the
// fastest and needs sessions of its own. Behind PgBouncer in transaction mode use cache_describe, or exec, and give [Options].Listen
// the address of the server itself, or set PollOnly. Besides the pool's connections a queue has one for LISTEN, once Wake was called.
//
// # Outcomes
//
// Marks begin with the number of the transaction that gives them, and [queue.Filter].Ended lists those below the oldest transaction that
// is still running. So the order is fixed once read, although transactions end in another order than they began, and committing
// waits for nobody. The other side of it: a transaction that writes for an hour, anywhere on the same server, holds up the list of
// outcomes (and nothing else) for that hour. A listing waits up to a quarter of a second for such transactions.
//
// Numbers of transactions survive a crash, a failover to a standby and pg_upgrade. After a restore from pg_dump they may have gone
// back; the next Open notices and makes marks go on where they were.
//
// # Asking questions
//
// The tables are meant to be read by people, too (see the folder migrations for what is what), and by replicas:
//
//	SELECT domain, count(*), min(due) FROM postroad.jobs WHERE finished IS NULL GROUP BY domain ORDER BY 2 DESC;
//	SELECT id, r->>'state', r->'reply'->>'text' FROM postroad.jobs, jsonb_array_elements(recipients) AS r
//	WHERE r->>'address' = 'bob@example.com';
//
// Every index costs each message. The queue has those that claims need; listing by domain, label, sender or recipient alone looks
// at all jobs, a second or two for a million. Whoever does so often may add to the schema:
//
//	CREATE INDEX CONCURRENTLY ON postroad.jobs (domain, id, n);
//	CREATE INDEX CONCURRENTLY ON postroad.jobs USING gin (recipients jsonb_path_ops);
//	CREATE INDEX CONCURRENTLY ON postroad.messages USING gin (labels jsonb_path_ops);
//
// Change nothing by hand but by commits: a token, a count of jobs and several indexes depend on each other.
//
// # Space and upkeep
//
// A million messages of 10 KiB to one recipient each take, with their indexes:
//
//	           waiting   delivered, until Retention is over
//	messages    0.2 GB   0.4 GB
//	jobs        0.5 GB   0.9 GB, half of it free for what comes
//	chunks     11.0 GB   free for what comes
//	ended       -        0.1 GB
//	WAL        11.5 GB   1.7 GB more
//
// That is of bodies that can't be compressed. Where the server has LZ4 (PostgreSQL 14 and later, unless it was built without), text takes
// a fraction of these chunks and of the WAL. To restore a dump of such a queue on a server without, make it with
// --no-toast-compression.
//
// A body is deleted with the commit that finishes the last job of its message, the records when Retention is over: [Queue.Purge]
// does that 200 messages at a time, and Claim sees to it that it is called.
//
// A job is written once when it is enqueued and twice for each attempt (claim and commit), but once for an attempt that EnqueueLeased
// has leased it for. All of these change what an index says, so none can be heap-only; that of a message's count of unfinished jobs
// is, but for the last. The tables have fillfactors to match, and tell autovacuum to come early: at 1 % of jobs, 2 % of messages and
// 5 % of chunks, and for jobs without pauses. ALTER TABLE ... SET (...) changes that. As for any queue, a transaction that is left
// open for long, a forgotten replication slot or a prepared transaction keeps vacuum from removing what is dead, and claims get
// slower by and by: watch pg_stat_activity.backend_xmin, and set idle_in_transaction_session_timeout. For a server that is mostly a
// queue, max_wal_size of some gigabytes saves full-page images, and commit_delay lets more callers share a sync.
//
// # Moving
//
// What waits in a file of boltqueue, or in another database, is brought here by a command, which also brings it back:
//
//	go run github.com/postroad/postroad/queue/pgqueue/pgmove mail.db postgres://mailer@db.example.com/shop
//
// # Other databases
//
// PostgreSQL 13 or later is needed. CockroachDB and YugabyteDB document most of the SQL; what they don't, or not alike, is
//
//   - pg_current_xact_id and pg_current_snapshot, for the order of outcomes: CockroachDB has neither;
//   - pg_advisory_xact_lock, in migrations and Beat: CockroachDB accepts it and does nothing;
//   - LISTEN and NOTIFY: set PollOnly;
//   - enable_seqscan, jit and plan_cache_mode, which every transaction sets for itself;
//   - arrays of composite types as parameters, where statements are prepared;
//   - fillfactor, the settings of autovacuum, SET STORAGE and SET COMPRESSION, in migrations;
//   - several changes of tables in one statement, and FOR UPDATE SKIP LOCKED in subqueries: supported, with limits of their own.
//
// So neither is supported, and nothing else stands in the way.
//
// This test has four processes share a queue, and kills them as often as it is told to:
//
//	go test ./queue/pgqueue -run TestKill -kill.rounds 200
package pgqueue
