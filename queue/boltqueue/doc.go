// Package boltqueue keeps a mail queue in one file, by way of bbolt. It is the queue for a single process; another one that
// opens the same file waits, and is then told so. When a program outgrows that, the command queue/pgqueue/pgmove takes the queue to
// PostgreSQL.
//
// # Promises
//
//   - When Enqueue returns nil, the message, with its body and all its jobs, is on disk and synced, and so is what Commit
//     was given. An error means that it isn't, and only [queue.ErrInDoubt] that this can't be known.
//   - Callers that wait at the same time share a transaction and its syncs. There is no timer: a lone caller pays for one
//     commit, and what arrives meanwhile goes with the next.
//   - Claiming writes nothing, but for the minute after a crash. Leases are kept in memory, so after a restart every job is free
//     at once; the file's lock proves that nobody else works on them.
//   - A message that ends the process whenever it is worked on is held when it has done so five times.
//   - A body of any size passes through in pieces: a message of 25 MB costs less than 2 MB of memory on its way in or out.
//     It is written once. A retry rewrites the record of its job, which is small.
//   - Memory grows with lanes, not with jobs. Opening looks at the pages that jobs and indexes stand in, but not into them, and
//     counts the entries of each lane.
//   - A file that is cut, overwritten or of a newer version is refused with an error that names it; one of an older version is
//     brought up to date. Every record has a version and a checksum; one that has changed is an error that wraps
//     [queue.ErrDamaged], and never a wrong answer. It harms one message, not the others.
//
// # Where the file may be
//
// The file must be on a local file system, on which flock keeps other processes out and fsync returns when the disk has
// what was written. A network file system (NFS, SMB, most that are mounted by FUSE) promises neither: two machines may
// both believe that they hold the lock and destroy the file within seconds, and what was acknowledged can be lost with the
// server. Open can't tell, and doesn't try. A disk image or block device that one machine at a time has mounted is local,
// and so is a container's volume of that kind.
//
// # A new process takes over
//
// When a program is replaced by its next version, the new process may be started while the old one is still at work: its
// Open waits for the lock, which Close, or the old process's end, sets free. Give [Options].LockWait the time that the old
// process is granted to drain, and some more. Until Open returns the new process can't enqueue; let it begin to accept
// requests after that, and let the old one accept them until it closes the queue. An Open that has waited in vain is
// [queue.ErrLocked], with the path.
//
// # The file
//
// These are its buckets, with what is in them as key and value. Numbers in keys are big-endian, ∅ ends a string with a NUL, a time
// has 12 octets. Every value is framed by a version and a CRC-32C (see codec.go); the values of an index are nothing else.
//
//	file      "version"                             of the file; the first version had no such record
//	          "opened"                              how often, which makes tokens unique
//	          "closed"                              what "opened" was when the file was last closed in order
//	          "unfinished"                          how many messages are not finished
//	messages  ID                                    the message, its number of unfinished jobs, the name of its body
//	jobs      ID ∅ number                           the job, the token of its latest commit
//	due       domain ∅ tenant ∅ priority state time job
//	                                                index: unfinished jobs, by lane and Due; state is 1 if they were
//	                                                tried before, and 2 more if they are held
//	expiry    time job                              index: unfinished jobs, by the Expires of their messages
//	marks     mark                                  index: the jobs, by their places
//	finished  time ID                               index: messages without unfinished jobs, by when the last one ended
//	bodies    body part segment                     a bucket: chunks of up to 64 KiB, 256 KiB altogether
//	drafts    body                                  bodies that are being written ahead, and belong to no message yet
//	notes     key                                   its value
//	claimed   ID ∅ number                           jobs given out after an unclean end, and suspects (see suspect.go)
//
// A body is its segments in the order of their keys. Up to 256 KiB it is one, written in the transaction of its message.
// A larger one is written ahead, a segment to a transaction, as part 1, while the caller's reader is read; part 0, written
// with the message, is what Head returned. No caller's code runs while a transaction is open, and no transaction is open
// while a caller runs.
//
// # Bounds and space
//
// A queue can be told how much it may take in; see [Options]. Beyond a limit Enqueue returns [queue.ErrFull], which helps to
// hold up senders while it lasts, and everything else goes on, so that the queue can be drained: claims, commits and the
// bounces that they enqueue. A message that is stored already is recognised also by a full queue. [Filling] is told when
// four fifths of a limit are used up.
//
// The disk's end is a limit, too. On Linux the blocks that a transaction may write to are reserved before it begins. If the disk
// has none, Enqueue returns an error that wraps [queue.ErrFull] and syscall.ENOSPC, nothing has happened, and all goes on when
// there is room again. Enqueuing always leaves 2 MiB of reserved blocks to other changes, so commits go on when the disk
// is full, and what they delete makes room. On other systems the free disk is looked at instead, which others can use up in
// between, and on file systems that write nothing in place (btrfs, ZFS) a reservation promises little. When a write fails for
// want of room nothing is lost either, but bbolt then looks for free pages in the whole file: seconds, if the queue is deep.
//
// A body is deleted with the commit that finishes the last job of its message, the records when Retention is over, in pieces that
// nobody notices. What is deleted is room for what comes. The file itself gets smaller only while nobody uses it: [Open]
// replaces a file of 64 MiB or more that is for the most part free by a copy without the free pages, which takes as long as
// reading and writing what is left, and [Compact] does so with any file. The copy's name is the file's with ".compact"; if
// there is a file of that name, it is removed.
//
// [Queue.WriteTo] makes a backup while the queue is in use.
//
// # What a crash leaves
//
// bbolt writes new pages beside the old ones, syncs, and then switches to them by writing one of two meta pages and syncing
// again. So the file always holds the state after some transaction: every acknowledged change is in it, and of those that
// were on their way each is there completely or not at all. Drafts are all that can be left behind; the next [Open] deletes
// them. There is nothing else to recover, and no job to rescue.
//
// A crash may have been a message's doing. When the process that had the file open last did not call Close, claims are
// noted in the file before Claim returns them, until a minute has passed by [queue.ClaimRequest].Now; this costs each
// claim one transaction. Jobs so noted at the next such end are suspects. Claim gives them out one at a time, and says in
// Claimed.Next to come back soon for the others, so that a further end points at one of them; all other mail goes on
// beside. A suspect that is committed, as delivered or for another try, is none any more. One that was leased at three
// ends in a row is held by Open, which reports it as [Poisoned]: it waits for the host program, or for its expiry, which
// no hold delays. Released, it is a job like any other. A kill and a power loss are ends like a crash, so it takes three
// of them, each while the same suspect is being worked on, to hold a job that is innocent. A claim by key is never noted
// and never waits: it is how a host program changes a job, not how it tries one.
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
//	go test ./queue/boltqueue -run TestKill -kill.rounds 500
//	go test ./queue/boltqueue -run TestPowerLoss -power.images 0
//	go test ./queue/boltqueue -run TestFailingDisk -inject.all
//	go test ./queue/boltqueue -run TestDamage -damage.files 1000
//	go test ./queue/boltqueue -run TestSalvage -salvage.all
package boltqueue
