// # Figures
//
// What a queue costs is told as ratios, to what the disk or plain bbolt needs for the same octets in the same run, by turns, since
// times say more about a machine than about this package. These are from a virtual machine with 2 cores of an AMD EPYC, 23 GB
// of memory and ext4 on a virtual disk with a write-back cache, where an append of 10 KiB with fdatasync takes about 0.3 ms; Linux 6.18,
// Go 1.26.8, bbolt 1.5.0.
//
//	                                                            aim      measured
//	Enqueue of 10 KiB, one caller, p50, in appends and syncs    ≤ 4      2.65
//	   64 callers, rate over that of plain bbolt                ≥ 0.8    0.94
//	   256 callers, rate over that of plain bbolt               ≥ 0.8    0.99
//	   64 callers, messages in a transaction                    ≥ 16     31
//	EnqueueAll, one caller, rate over that of Enqueue           ≥ 10     11.3
//	Claim and Commit, 64 workers, rate over that of Enqueue     ≥ 0.8    0.84
//	octets written to the file over those of the bodies         ≤ 2      1.37
//	   after 100,000 messages have gone through                 ≤ 2      1.41
//	Enqueue by 64 callers, then, over that of a new queue       -        1.06
//	heap for a message of 25 MB, in and out                     ≤ 2 MB   0.7 MB
//
// Plain bbolt has the same buckets, keys and records, and the same group commit, but no checksums, claims or purging; a lone caller
// of it needs 2.5 appends and syncs. A transaction of bbolt has two syncs, which is what limits a lone caller; many callers
// are limited by how fast bbolt writes pages. The octets are those of 20 messages at a time, of 5 to 600 KB, their logarithms
// spread evenly, which fail five times each before they are delivered.
//
// With 1,000,000 unfinished jobs of 1 KiB in 10,000 lanes, of which one in a hundred is due. "In memory" is a file in /dev/shm, which is
// all in the system's cache; in brackets, if half of all jobs are in one lane. "On disk" is a file of which some isn't, as this
// machine doesn't always keep 5 GB:
//
//	                                                            aim      in memory           on disk
//	Open                                                        ≤ 10 s   1.0 s   (1.0 s)     4.6 s
//	   after a kill                                             ≤ 10 s   2.3 s   (2.6 s)     7.3 s
//	anonymous memory after Open                                 ≤ 200 MB 7 MB    (7 MB)      7 MB
//	   with a tenth of the jobs and lanes                                5 MB
//	CPU and writes when idle                                    0        0                   0
//	Claim, any lane, p99                                        ≤ 2 ms   0.14 ms (0.23 ms)   1.0 ms
//	   one lane                                                 ≤ 2 ms   0.15 ms (0.22 ms)   1.1 ms
//	   a Take of all lanes, p50                                 -        0.72 ms (0.87 ms)   2.8 ms
//	   any lane, p50, while 64 callers enqueue                  -        3.3 ms  (3.4 ms)    9.4 ms
//	Depths of all lanes, p50                                    -        4.1 ms
//	Enqueue of 10 KiB by 64 callers over that of an empty queue ≥ 0.7    0.84    (0.86)      0.74
//	   of 1 KiB                                                          0.72    (0.78)      0.68
//	heap for listing all jobs                                            0                   0
//
// After a kill the whole file is walked through to find its free pages, and after Close all of it but the bodies. With nothing of
// it in the system's cache that takes as long as the disk needs to read so much. A Take of all lanes looks up each of them. What
// a deep queue costs Enqueue is two pages for each message, where its lane has its place in the index, and a small message is
// only two or three. While 64 callers enqueue they keep both cores busy, and a claim waits for its turn.
//
// The commands, which print more than this:
//
//	go test ./queue/boltqueue -run '^$' -bench . -benchtime 5s
//	go test ./queue/boltqueue -run '^$' -bench Drained -drained 100000
//	go test ./queue/boltqueue -run '^$' -bench Depth -depth.jobs 1000000 -benchtime 1x -timeout 30m
//	go test ./queue/boltqueue -run LargeBodyMemory -v
package boltqueue
