package boltqueue

import (
	"fmt"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

// The version of a file says which buckets it has and what is in them; how the fields of a record are encoded is said by the
// version in front of each record. A file of an earlier version is brought up to date when it is opened, one of a later
// version is refused.

// upgrades are the steps from each version of a file to the next, beginning at version 1. They are taken in the transaction
// that opens the file, so it is of the one version or of the other. A step stays as it is once files were made by it. What
// would be too much for one transaction comes after it, in those that follow (see relane.go).
func upgrades() []func(*bolt.Tx) error {
	return []func(*bolt.Tx) error{
		addClaimed,      // to version 2
		countUnfinished, // to version 3
		addLanes,        // to version 4
		addPlaces,       // to version 5, which also has flags in the records of jobs
	}
}

// The records of the file's own bucket. All are numbers.
const (
	versionKey    = "version"    // of the file; version 1 had no such record
	openedKey     = "opened"     // how often the file was opened
	closedKey     = "closed"     // which of these lives was the latest that ended with Close
	unfinishedKey = "unfinished" // how many messages are not finished
)

// upgrade brings the file up to date. A new one is made as one of version 1, and takes all steps.
func upgrade(b *bolt.Tx) error {
	file := b.Bucket([]byte(fileBucket))
	if file == nil {
		var err error
		if file, err = create(b); err != nil {
			return err
		}
	}
	steps := upgrades()
	known := uint64(1 + len(steps))
	version := uint64(1)
	if file.Get([]byte(versionKey)) != nil {
		var err error
		if version, err = number(file, versionKey, 32); err != nil {
			return err
		}
	}
	switch {
	case version > known:
		return fmt.Errorf("%w: the file has version %d, this package knows versions up to %d", queue.ErrVersion, version, known)
	case version == known:
		return nil
	case version == 0:
		return damaged("has version 0")
	}
	for _, step := range steps[version-1:] {
		if err := step(b); err != nil {
			return err
		}
	}
	return putNumber(file, versionKey, known)
}

// create makes the buckets that version 1 had, and returns that of the file itself.
func create(b *bolt.Tx) (file *bolt.Bucket, err error) {
	if k, _ := b.Cursor().First(); k != nil {
		return nil, damaged("a bbolt file, but not a queue: it has a bucket %q", k)
	}
	for _, name := range []string{fileBucket, messagesBucket, jobsBucket, oldLanesBucket, expiryBucket, marksBucket,
		finishedBucket, bodiesBucket, draftsBucket, notesBucket} {
		if _, err := b.CreateBucket([]byte(name)); err != nil {
			return nil, err
		}
	}
	file = b.Bucket([]byte(fileBucket))
	return file, putNumber(file, openedKey, 0)
}

// addClaimed makes the bucket of noted claims. Version 1 noted none, so it doesn't matter how the life before ended.
func addClaimed(b *bolt.Tx) error {
	if _, err := b.CreateBucket([]byte(claimedBucket)); err != nil {
		return err
	}
	file := b.Bucket([]byte(fileBucket))
	opened, err := number(file, openedKey, 64)
	if err != nil {
		return err
	}
	return putNumber(file, closedKey, opened)
}

// countUnfinished stores how many messages are not finished. Earlier versions kept no count.
func countUnfinished(b *bolt.Tx) error {
	n := uint64(0)
	err := b.Bucket([]byte(messagesBucket)).ForEach(func(k, v []byte) error {
		if fields, err := unseal(k, v); err == nil {
			if m, err := decodeMessage(fields); err == nil && m.Unfinished > 0 { // what is damaged is noticed when it is used
				n++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return putNumber(b.Bucket([]byte(fileBucket)), unfinishedKey, n)
}

// addPlaces enters jobs under all their places. Earlier versions had the last one only, which is all that most jobs have: what is
// written is not too much for one transaction.
func addPlaces(b *bolt.Tx) error {
	marks := b.Bucket([]byte(marksBucket))
	return b.Bucket([]byte(jobsBucket)).ForEach(func(k, v []byte) error {
		key, err := parseJobKey(k)
		var j *jobRecord
		if err == nil {
			j, err = readJob(key, k, v)
		}
		if err != nil {
			return nil // as above
		}
		for _, m := range j.Places() {
			if m == j.Mark() {
				continue
			}
			if err := put(marks, numberKey(uint64(m)), k); err != nil {
				return err
			}
		}
		return nil
	})
}

// number reads a record that is a number of so many bits.
func number(b *bolt.Bucket, key string, bits int) (uint64, error) {
	fields, err := unseal([]byte(key), b.Get([]byte(key)))
	if err != nil {
		return 0, err
	}
	d := decoder{b: fields}
	n := d.uint(bits)
	return n, d.end(key)
}

func putNumber(b *bolt.Bucket, key string, n uint64) error {
	var e encoder
	e.uint(n)
	return put(b, []byte(key), e.b)
}
