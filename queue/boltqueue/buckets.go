package boltqueue

import (
	"fmt"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// The buckets of the file; the package comment draws what is in them.
const (
	fileBucket     = "file"
	messagesBucket = "messages"
	jobsBucket     = "jobs"
	lanesBucket    = "due"
	expiryBucket   = "expiry"
	marksBucket    = "marks"
	finishedBucket = "finished"
	bodiesBucket   = "bodies"
	draftsBucket   = "drafts"
	notesBucket    = "notes"
	claimedBucket  = "claimed"
)

// bucketNames are those of all buckets.
var bucketNames = [...]string{
	fileBucket, messagesBucket, jobsBucket, lanesBucket, expiryBucket, marksBucket, finishedBucket, bodiesBucket, draftsBucket,
	notesBucket, claimedBucket,
}

// buckets opens the buckets of a transaction when they are asked for: a reading one needs two or three, and to open them all
// was behind a quarter of all objects that a message's way in and out allocated.
type buckets struct {
	of     *bolt.Tx
	opened struct {
		file, messages, jobs, lanes, expiry, marks, finished, bodies, drafts, notes, claimed *bolt.Bucket
	}
}

func (b *buckets) file() *bolt.Bucket     { return b.open(&b.opened.file, fileBucket) }
func (b *buckets) messages() *bolt.Bucket { return b.open(&b.opened.messages, messagesBucket) }
func (b *buckets) jobs() *bolt.Bucket     { return b.open(&b.opened.jobs, jobsBucket) }
func (b *buckets) lanes() *bolt.Bucket    { return b.open(&b.opened.lanes, lanesBucket) }
func (b *buckets) expiry() *bolt.Bucket   { return b.open(&b.opened.expiry, expiryBucket) }
func (b *buckets) marks() *bolt.Bucket    { return b.open(&b.opened.marks, marksBucket) }
func (b *buckets) finished() *bolt.Bucket { return b.open(&b.opened.finished, finishedBucket) }
func (b *buckets) bodies() *bolt.Bucket   { return b.open(&b.opened.bodies, bodiesBucket) }
func (b *buckets) drafts() *bolt.Bucket   { return b.open(&b.opened.drafts, draftsBucket) }
func (b *buckets) notes() *bolt.Bucket    { return b.open(&b.opened.notes, notesBucket) }
func (b *buckets) claimed() *bolt.Bucket  { return b.open(&b.opened.claimed, claimedBucket) }

// open panics, as bbolt does when a page isn't what it should be, if there is no such bucket: see rescue. A file that is open
// has had them all.
func (b *buckets) open(bucket **bolt.Bucket, name string) *bolt.Bucket {
	if *bucket == nil {
		if *bucket = b.of.Bucket([]byte(name)); *bucket == nil {
			panic(fmt.Sprintf("there is no bucket %q", name))
		}
	}
	return *bucket
}

// check reports the first bucket that is not there.
func (b *buckets) check() error {
	for _, name := range bucketNames {
		if b.of.Bucket([]byte(name)) == nil {
			return fmt.Errorf("%w: there is no bucket %q", queue.ErrDamaged, name)
		}
	}
	return nil
}
