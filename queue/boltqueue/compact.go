package boltqueue

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// compactSize is how large a file must be for Open to make it smaller.
const compactSize = 64 << 20

// compactSuffix is added to the name of a file while it is being compacted. What a crash leaves under this name is removed by the
// next Open.
const compactSuffix = ".compact"

// Compact gives back to the disk what is free in the file at path, which no queue has open: it writes a new file beside it,
// under the same name with ".compact", and puts that in its place. A crash leaves the one or the other, and both have
// everything. If the disk hasn't twice the room that the new file takes, or the file is damaged, the error says so and the
// file is as it was. Its mode and owner stay the same.
//
// Open does the same by itself with files of 64 MiB or more that are for the most part free; if it can't, it goes on with the
// file as it is. Of o only LockWait and OpenFile are looked at. The errors are those of [Open], and on systems
// where a file that is open can't be replaced errors.ErrUnsupported: Windows, Solaris and AIX.
func Compact(path string, o Options) error {
	if err := compactPath(path, o.withDefaults()); err != nil {
		return fmt.Errorf("boltqueue: %w", pathError(path, err))
	}
	return nil
}

func compactPath(path string, o Options) error {
	if !canCompact {
		return errors.ErrUnsupported
	}
	f, m, err := openSound(path, os.O_RDWR, 0, o)
	if err != nil {
		return err
	}
	defer f.Close()
	if m == nil { // there is nothing in it yet
		return nil
	}
	compacted, err := compact(f, m, path, o)
	if compacted != nil {
		err = cmp.Or(err, compacted.Close())
	}
	return err
}

// wasteful reports whether the file is large and more than half of it is free.
func wasteful(f *os.File, m *meta) bool {
	info, err := f.Stat()
	if err != nil || !canCompact || !m.closed() || info.Size() < compactSize {
		return false
	}
	p, err := newWalker(f, m).page(m.freelist, freelistFlag)
	return err == nil && 2*int64(m.highWater-p.freeCount())*m.pageSize < info.Size()
}

// compact puts a copy of f, which is open and locked under that name, in its place. The copy is returned open and locked.
// If there is none f is still in its place. If there is one with an error, which of them a power loss would leave isn't
// known, so none of them must be written to.
func compact(f *os.File, m *meta, name string, o Options) (*os.File, error) {
	target, err := filepath.EvalSymlinks(name) // a link is to stay one
	if err != nil {
		return nil, err
	}
	c, err := compacted(f, m, target+compactSuffix, o)
	if err == nil {
		if err = os.Rename(target+compactSuffix, target); err == nil {
			return c, syncFolder(target)
		}
		err = errors.Join(err, c.Close())
	}
	return nil, errors.Join(err, removeCompacted(target))
}

// compacted makes a copy of f.
func compacted(f *os.File, m *meta, name string, o Options) (c *os.File, err error) {
	w, err := walkWhole(f, m)
	if err != nil {
		return nil, err
	}
	from := newCopier(w, nil)
	if free, _, _, ok := diskOf(f); ok && free/2 < from.size() { // others use the disk meanwhile
		return nil, fmt.Errorf("the compacted file has %d octets, the disk has %d: %w", from.size(), free, syscall.ENOSPC)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if c, err = o.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, err
	}
	if err = lock(c, 0); err == nil {
		err = alike(c, info)
	}
	if err == nil {
		err = from.copy(c)
	}
	if err == nil {
		err = c.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// removeCompacted removes what a compaction that was cut short has left of its copy. The file must be locked.
func removeCompacted(path string) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if err := os.Remove(target + compactSuffix); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// freeCount is how many pages a page of the freelist lists.
func (p page) freeCount() uint64 {
	if p.count < 0xffff {
		return uint64(p.count)
	}
	return native.Uint64(p.b[pageHeader:])
}
