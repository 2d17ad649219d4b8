// Package boltqueue keeps a mail queue in one file, by way of bbolt. It is the queue for a single process; another one that
// opens the same file waits, and is then told so.
//
// # Promises
//
//   - When Enqueue returns nil, the message, with its body and all its jobs, is on disk and synced, and so is what Commit
//     was given. An error means that it isn't, and only [queue.ErrInDoubt] that this can't be known.
//   - Callers that wait at the same time share a transaction and its syncs. There is no timer: a lone caller pays for one
//     commit, and what arrives meanwhile goes with the next.
//   - Claiming writes nothing. Leases are kept in memory, so after a restart every job is free at once; the file's lock
//     proves that nobody else works on them.
//   - A body of any size passes through in pieces: a message of 25 MB costs less than 2 MB of memory on its way in or out.
//     It is written once. A retry rewrites the record of its job, which is small.
//   - Memory grows with lanes, not with jobs, and opening reads the first entry of each lane, not the jobs.
//   - A file that is cut, overwritten or of a newer version is refused with an error that names it; one of an older version is
//     brought up to date. Every record has a version and a checksum; one that has changed is an error that wraps
//     [queue.ErrDamaged], and never a wrong answer.
//
// The file must not be on a network file system: what locks and syncs are worth there can't be known.
//
// # The file
//
// These are its buckets, with what is in them as key and value. Numbers in keys are big-endian, ∅ ends a string with a NUL, a time
// has 12 octets. Every value is framed by a version and a CRC-32C (see codec.go); the values of an index are nothing else.
//
//	file      "version"                             of the file; the first version had no such record
//	          "opened"                              how often, which makes tokens unique
//	          "closed"                              what "opened" was when the file was last closed in order
//	messages  ID                                    the message, its number of unfinished jobs, the name of its body
//	jobs      ID ∅ number                           the job, the token of its latest commit
//	lanes     domain ∅ tenant ∅ priority time job   index: unfinished jobs that aren't held, by lane and Due
//	expiry    time job                              index: unfinished jobs, by the Expires of their messages
//	marks     mark                                  index: the job whose greatest mark it is
//	finished  time ID                               index: messages without unfinished jobs, by when the last one ended
//	bodies    body part segment                     a bucket: chunks of up to 64 KiB, 256 KiB altogether
//	drafts    body                                  bodies that are being written ahead, and belong to no message yet
//	notes     key                                   its value
//	claimed   ID ∅ number                           jobs that were being worked on when the process ended, or may be
//
// A body is its segments in the order of their keys. Up to 256 KiB it is one, written in the transaction of its message.
// A larger one is written ahead, a segment to a transaction, as part 1, while the caller's reader is read; part 0, written
// with the message, is what Head returned. No caller's code runs while a transaction is open, and no transaction is open
// while a caller runs.
//
// # What a crash leaves
//
// bbolt writes new pages beside the old ones, syncs, and then switches to them by writing one of two meta pages and syncing
// again. So the file always holds the state after some transaction: every acknowledged change is in it, and of those that
// were on their way each is there completely or not at all. Drafts are all that can be left behind; the next [Open] deletes
// them. There is nothing else to recover, and no job to rescue.
//
// If the second sync fails, which of the two states will survive is not known. The changes concerned end in
// [queue.ErrInDoubt] and the queue takes no more until it is opened again.
package boltqueue
