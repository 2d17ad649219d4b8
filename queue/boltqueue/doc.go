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
//   - Memory grows with lanes, not with jobs. Opening looks at the pages that jobs and indexes stand in, but not into them, and
//     reads the first entry of each lane.
//   - A file that is cut, overwritten or of a newer version is refused with an error that names it; one of an older version is
//     brought up to date. Every record has a version and a checksum; one that has changed is an error that wraps
//     [queue.ErrDamaged], and never a wrong answer. It harms one message, not the others.
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
// If the second sync fails, which of the two states will survive is not known, and the changes concerned end in
// [queue.ErrInDoubt]. The next call of any method writes and syncs the meta page once more. When that succeeds the changes are
// certain, and the queue goes on; until then nothing is changed, and repeating them ends in ErrInDoubt again.
//
// # Damage
//
// bbolt trusts what it maps: on a file that was cut off it dies by SIGBUS, on a page that leads back to itself by stack
// overflow, and with a page that is wrongly said to be free it overwrites mail. So Open checks the structure of all pages but
// those of bodies before bbolt sees them, which takes about half a second for a million messages, and refuses a file in
// which it is damaged. The list of free pages has a checksum; if that is wrong, or the file was not closed in order, all
// pages are checked and the list is made anew, in two or three seconds for a million messages.
//
// Damage to one record, or to the pages of one body, is found when it is read. Claim passes over a job of which any part
// can't be read and leases the others, a listing lists the others and ends in the error, and [Options].Observe is told
// [Unreadable] once. A body that is damaged ends in io.ErrUnexpectedEOF. So does a page that the disk can't read any more.
//
// What is left: a write that fails while a page of a body is damaged that has not been looked at. bbolt then searches the
// whole file for free pages, in a goroutine of its own, and ends the program if it comes across that page.
//
// [Check] finds what is wrong with a file that nobody has open, and [Salvage] makes a new queue of what can be read in it.
// They don't use bbolt. As a command:
//
//	go run github.com/postroad/postroad/queue/boltqueue/boltcheck mail.db
//	go run github.com/postroad/postroad/queue/boltqueue/boltcheck -salvage new.db mail.db
//
// These tests kill the process, take the power, make the disk fail and damage files, as often as they are told to:
//
//	go test -run 'TestKill' . -args -kill.rounds 500
//	go test -run 'TestPowerLoss' . -args -power.images 0
//	go test -run 'TestFailingDisk' . -args -inject.all
//	go test -run 'TestDamage' . -args -damage.files 1000
//	go test -run 'TestSalvage' . -args -salvage.all
package boltqueue
