package smtpclient

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// pieces reads all of a text.
func pieces(t *testing.T, body io.Reader) (all [][]byte) {
	var x text
	x.begin(body)
	for more := true; more; more = !x.last() {
		if err := x.next(); err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Clone(x.piece()))
	}
	return all
}

// A text is cut where it must be, never so that nothing is left for the last piece, and can be read once more.
func TestPieces(t *testing.T) {
	line := strings.Repeat("x", 62) + "\r\n"
	for _, size := range []int{0, 64, pieceSize - 64, pieceSize, pieceSize + 64, 2 * pieceSize, 3*pieceSize - 64, 1 << 20} {
		body := strings.Repeat(line, size/64)
		for name, r := range map[string]io.Reader{
			"reader":  strings.NewReader(body),
			"halves":  iotest.HalfReader(strings.NewReader(body)),
			"dataerr": iotest.DataErrReader(strings.NewReader(body)),
		} {
			all := pieces(t, r)
			if got := string(bytes.Join(all, nil)); got != body {
				t.Errorf("%s, %d octets: %d octets in pieces", name, size, len(got))
			}
			for i, p := range all {
				if len(p) > pieceSize || i < len(all)-1 && len(p) != pieceSize || len(p) == 0 && size > 0 {
					t.Errorf("%s, %d octets: piece %d of %d has %d", name, size, i, len(all), len(p))
				}
			}
		}
	}
}

// However short its lines are, a body takes no more memory than a few pieces.
func TestPieceMemory(t *testing.T) {
	var x text
	x.begin(io.LimitReader(newlines{}, 10<<20))
	size := 0
	for more := true; more; more = !x.last() {
		if err := x.next(); err != nil {
			t.Fatal(err)
		}
		size += len(x.piece())
	}
	if size != 20<<20 {
		t.Errorf("%d octets", size)
	}
	if cap(x.buf) > 3*pieceSize {
		t.Errorf("%d octets of memory", cap(x.buf))
	}
}

type newlines struct{}

func (newlines) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '\n'
	}
	return len(p), nil
}

// A text begins again if it is small, or if its reader can be set back, to where it was.
func TestRewind(t *testing.T) {
	small, large := strings.Repeat("x\r\n", 100), strings.Repeat("x\r\n", pieceSize)
	skipped := func(s string) io.Reader {
		r := strings.NewReader("skip" + s)
		r.Seek(4, io.SeekStart)
		return r
	}
	for _, c := range []struct {
		name string
		body io.Reader
		want string
		ok   bool
	}{
		{"small", io.MultiReader(strings.NewReader(small)), small, true},
		{"large", io.MultiReader(strings.NewReader(large)), large, false},
		{"large seeker", skipped(large), large, true},
		{"seeker that can't", brokenSeeker{strings.NewReader(large)}, large, false},
		{"none", nil, "", true},
	} {
		var x text
		x.begin(c.body)
		for round, take := range []int{0, 1, 1000, 1000} {
			if small, err := x.small(); small != (len(c.want) <= pieceSize) && round <= 2 || err != nil {
				t.Errorf("%s: small %v, %v", c.name, small, err)
			}
			var got []byte
			for range take {
				if err := x.next(); err != nil {
					t.Fatal(err)
				}
				got = append(got, x.piece()...)
				if x.last() {
					break
				}
			}
			if take > 1 && string(got) != c.want {
				t.Errorf("%s, round %d: %d octets of %d", c.name, round, len(got), len(c.want))
			}
			if ok := x.rewind(); ok != (c.ok || round < 2) {
				t.Errorf("%s, round %d: rewind %v", c.name, round, ok)
			}
			if !c.ok && round == 2 {
				break
			}
		}
	}
}

type brokenSeeker struct{ io.Reader }

func (brokenSeeker) Seek(int64, int) (int64, error) { return 0, errors.New("not here") }

// A body that fails does so where it fails, and one that makes no progress comes to an end.
func TestTextFails(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, c := range []struct {
		body io.Reader
		want error
	}{
		{iotest.ErrReader(broken), broken},
		{io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken)), broken},
		{stuck{}, io.ErrNoProgress},
	} {
		var x text
		x.begin(c.body)
		if err := x.next(); !errors.Is(err, c.want) {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }
