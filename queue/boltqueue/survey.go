package boltqueue

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/postroad/postroad/queue"
)

// survey reads what can be read of a file, page by page and without bbolt, so that no damage keeps it from the rest. It
// changes nothing.
type survey struct {
	pages
	file    *os.File
	root    uint64              // 0 if there is no valid meta
	free    map[uint64]bool     // pages known to be free; nil if they aren't known
	used    map[uint64]bool     // pages that were visited
	buckets map[string]location // those of the root
	damaged map[string]bool     // buckets of which pages are damaged; "" is the root
	report  func(problem string)
}

// location is where a value stands in the file.
type location struct {
	page     uint64
	at, size int64
}

// maxTreeDepth is more than what a tree can have that fits on a disk.
const maxTreeDepth = 32

// openSurvey opens the file at path for reading only, and reads its root.
func openSurvey(path string, report func(string)) (s *survey, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(&fs.PathError{Op: "open", Path: path, Err: err}, f.Close())
		}
	}()
	if err := lock(f, 0); err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	s = &survey{file: f, report: report, used: map[uint64]bool{}, buckets: map[string]location{}, damaged: map[string]bool{}}
	m, err := newestMeta(f, info.Size())
	if err != nil { // then only what the pages themselves say is left
		s.problem("", err)
		s.pages = pages{f: f, pageSize: int64(os.Getpagesize()), highWater: uint64(info.Size()) / uint64(os.Getpagesize())}
		return s, nil
	}
	s.pages, s.root = *m.pages(f), m.root
	if readMeta(f, 0) == nil || readMeta(f, m.pageSize) == nil {
		s.problem("", damaged("has one valid meta page of two: the latest change may be lost"))
	}
	if have := uint64(info.Size() / m.pageSize); have < s.highWater {
		s.problem("", damaged("has %d octets, %d pages of %d are in use: it was cut off", info.Size(), s.highWater, m.pageSize))
		s.highWater = have
	}
	s.readFree(m)
	s.tree("", s.root, 0, func(key []byte, bucket bool, at location) {
		if bucket {
			s.buckets[string(key)] = at
		}
	})
	return s, s.version()
}

func (s *survey) close() error { return s.file.Close() }

// version refuses a file that a later version has written.
func (s *survey) version() (err error) {
	s.each(fileBucket, func(key []byte, at location) {
		v, e := s.value(at)
		if e == nil && string(key) == versionKey {
			var d decoder
			if d.b, e = unseal(key, v); e == nil && d.uint(32) > uint64(1+len(upgrades())) {
				e = queue.ErrVersion
			}
		}
		if errors.Is(e, queue.ErrVersion) {
			err = e
		}
	})
	return err
}

// problem reports damage to a bucket.
func (s *survey) problem(bucket string, err error) {
	s.damaged[bucket] = true
	s.report(cmp.Or(bucket, "file") + ": " + err.Error())
}

// readFree reads the list of free pages, if there is one that can be believed.
func (s *survey) readFree(m *meta) {
	w := newWalker(s.file, m)
	if !m.closed() || w.sumFreelist() != m.flags {
		return
	}
	s.free = map[uint64]bool{m.freelist: true}
	if err := w.eachFree(func(id uint64) error { s.free[id] = true; return nil }); err != nil {
		s.free = nil
	}
}

// has reports whether the root has a bucket.
func (s *survey) has(bucket string) bool {
	_, ok := s.buckets[bucket]
	return ok
}

// each calls visit with what is in a bucket of the root. It must not read from the file by way of s.pages.
func (s *survey) each(bucket string, visit func(key []byte, at location)) {
	at, ok := s.buckets[bucket]
	if !ok {
		if s.root != 0 {
			s.problem("", damaged("there is no bucket %q", bucket))
		}
		return
	}
	s.bucket(bucket, at, func(key []byte, _ bool, at location) { visit(key, at) })
}

// bucket calls visit with what is in a bucket, whose value stands at a location.
func (s *survey) bucket(name string, at location, visit func(key []byte, bucket bool, at location)) {
	v, err := s.value(at)
	if err == nil && len(v) < bucketHeader {
		err = damaged("has a bucket of %d octets in page %d", len(v), at.page)
	}
	if err != nil {
		s.problem(name, err)
		return
	}
	if root := native.Uint64(v); root != 0 {
		s.tree(name, root, 0, visit)
		return
	}
	p, err := s.inline(v)
	if err != nil {
		s.problem(name, err)
		return
	}
	inner := pages{pageSize: 1}
	_ = inner.elements(p, func(e element) error { // which inline has checked
		visit(e.key, e.bucket, location{at.page, at.at + bucketHeader + e.at, e.size})
		return nil
	})
}

// tree calls visit with what is in the leaves below a page, as far as they can be read.
func (s *survey) tree(name string, id uint64, depth int, visit func(key []byte, bucket bool, at location)) {
	type child struct {
		id  uint64
		key []byte
	}
	r := pages{f: s.f, pageSize: s.pageSize, highWater: s.highWater}
	p, err := r.page(id, branchFlag|leafFlag)
	if err == nil && (s.used[id] || depth > maxTreeDepth) {
		err = damaged("refers to page %d twice", id)
	}
	if err != nil {
		s.problem(name, err)
		return
	}
	for id := p.id; id < p.end(); id++ {
		s.used[id] = true
	}
	var children []child
	err = r.elements(p, func(e element) error {
		if p.flags == branchFlag {
			children = append(children, child{e.child, bytes.Clone(e.key)})
		} else {
			visit(e.key, e.bucket, location{p.id, e.at, e.size})
		}
		return nil
	})
	if err != nil {
		s.problem(name, err)
	}
	for _, c := range children {
		s.tree(name, c.id, depth+1, visit)
	}
}

// maxValue is more than any value of a queue has: a job with all its recipients and replies at their longest.
const maxValue = 64 << 20

// value reads what stands at a location.
func (s *survey) value(at location) ([]byte, error) {
	if at.size > maxValue {
		return nil, damaged("has a value of %d octets in page %d", at.size, at.page)
	}
	v := make([]byte, at.size)
	_, err := s.f.ReadAt(v, int64(at.page)*s.pageSize+at.at)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return v, err
}

// record reads the fields of a record.
func (s *survey) record(key []byte, at location) ([]byte, error) {
	v, err := s.value(at)
	if err != nil {
		return nil, err
	}
	return unseal(key, v)
}

// strays calls visit with what is in the leaves that nothing leads to, and whether it may be a state from before.
func (s *survey) strays(visit func(key []byte, at location, stale bool)) {
	r := pages{f: s.f, pageSize: s.pageSize, highWater: s.highWater}
	for id := uint64(2); id < s.highWater; id++ {
		if s.used[id] {
			continue
		}
		p, err := r.page(id, leafFlag)
		if err != nil {
			continue
		}
		stale := s.free == nil || s.free[id]
		_ = r.elements(p, func(e element) error { // as far as it goes: each record proves itself
			if !e.bucket {
				visit(e.key, location{p.id, e.at, e.size}, stale)
				return nil
			}
			at := location{p.id, e.at, e.size}
			v, err := s.value(at)
			if err != nil || len(v) < bucketHeader {
				return nil
			}
			if inner, err := s.inline(v); err == nil {
				c := pages{pageSize: 1}
				return c.elements(inner, func(e element) error {
					visit(e.key, location{at.page, at.at + bucketHeader + e.at, e.size}, stale)
					return nil
				})
			}
			return nil
		})
	}
}

// bodies are where the segments of bodies stand, by the name of the body and in the order of their keys.
type bodies map[uint64][]segmentAt

type segmentAt struct {
	key []byte
	location
}

func (s *survey) bodies() bodies {
	found := bodies{}
	s.each(bodiesBucket, func(key []byte, at location) {
		n, err := parseNumberKey(key[:min(8, len(key))])
		if err != nil || len(key) != 13 {
			s.problem(bodiesBucket, damaged("%q is not a segment", key))
			return
		}
		found[n] = append(found[n], segmentAt{bytes.Clone(key), at})
	})
	return found
}

// foundChunk is part of a segment.
type foundChunk struct {
	key []byte
	location
}

// chunks returns the chunks of a body, in order. It doesn't say whether they are all.
func (s *survey) chunks(segments []segmentAt) (all []foundChunk) {
	used := s.used
	s.used = map[uint64]bool{}
	defer func() {
		maps.Copy(used, s.used)
		s.used = used
	}()
	for _, seg := range segments {
		s.bucket(bodiesBucket, seg.location, func(key []byte, _ bool, at location) {
			all = append(all, foundChunk{bytes.Clone(key), at})
		})
	}
	slices.SortFunc(all, func(a, b foundChunk) int { return bytes.Compare(a.key, b.key) })
	return all
}

// measure returns how many octets of a body can be read in one piece from its beginning.
func (s *survey) measure(body uint64, all []foundChunk) (size int64) {
	var last []byte
	for _, c := range all {
		fields, err := s.record(c.key, c.location)
		if err != nil || !continues(c.key, last, body) {
			break
		}
		size += int64(len(fields))
		last = c.key
	}
	return size
}

// continues reports whether the chunk at key comes after the one at last, or begins the body if last is nil.
func continues(key, last []byte, body uint64) bool {
	if len(key) != 14 {
		return false
	}
	if last != nil && bytes.Equal(key[:13], last[:13]) {
		return key[13] == last[13]+1
	}
	if last != nil {
		last = last[:13]
	}
	return key[13] == 0 && follows(key[:13], last, body)
}
