package suppress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/memqueue"
)

// entries writes those of a list, whole.
func entries(t *testing.T, l *List) (list []string) {
	t.Helper()
	for e, err := range l.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%+v", e))
	}
	return list
}

func TestExport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in which it is the year 2000
		l := &List{Notes: memqueue.New()}
		day := time.Date(2026, 11, 2, 10, 30, 0, 5, time.FixedZone("", 3600))
		add(t, l,
			Entry{Address: "ann@a.example", Reason: NoSuchUser, Text: `550 5.1.1 "ann", unknown`, Added: day, Expires: day.Add(time.Hour)},
			Entry{Address: "b.example", Tenant: " a shop, of sorts", Reason: "closed", Added: day},
			Entry{Address: "#x@a.example", Added: day},
			Entry{Address: "=1+1@a.example", Added: day},
			Entry{Address: `"a,b"@a.example`, Added: day},
			Entry{Address: "old@a.example", Expires: time.Now()},
		)
		var file bytes.Buffer
		if err := l.Export(t.Context(), &file); err != nil {
			t.Fatal(err)
		}
		const want = `address,tenant,reason,added,expires,text
"""a,b""@a.example",,,2026-11-02T09:30:00Z,,
"""#x""@a.example",,,2026-11-02T09:30:00Z,,
"""=1+1""@a.example",,,2026-11-02T09:30:00Z,,
ann@a.example,,no such user,2026-11-02T09:30:00Z,2026-11-02T10:30:00Z,"550 5.1.1 ""ann"", unknown"
b.example," a shop, of sorts",closed,2026-11-02T09:30:00Z,,
`
		if got := file.String(); got != want {
			t.Errorf("exported\n%s, want\n%s", got, want)
		}
		again := &List{Notes: memqueue.New()}
		if n, err := again.Import(t.Context(), &file); n != 5 || err != nil || !slices.Equal(entries(t, again), entries(t, l)) {
			t.Errorf("imported %d, %v:\n%s, want\n%s", n, err, entries(t, again), entries(t, l))
		}
	})
}

func TestImport(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"nothing":           {"", nil},
		"comments":          {"# address\n\n   \n#\n", nil},
		"a plain list":      {"ann@a.example\r\nben@a.example\n# cid@a.example\n\nDan@A.example", []string{"Dan@a.example", "ann@a.example", "ben@a.example"}},
		"by position":       {"ann@a.example,shop,complaint\nb.example,,closed,2026-11-02,,what was said", []string{"ann@a.example complaint shop", "b.example closed"}},
		"a header":          {"\ufeffReason, ADDRESS\ncomplaint, ann@a.example\n", []string{"ann@a.example complaint"}},
		"an address of #":   {`"#x@a.example"` + "\n" + `"""#y""@a.example"`, []string{"#x@a.example", "#y@a.example"}},
		"the last counts":   {strings.Repeat("ann@a.example,,first\n", 200) + "ann@a.example,,last", []string{"ann@a.example last"}},
		"a date":            {"address,expires\nann@a.example,2999-12-31\n", []string{"ann@a.example"}},
		"one that is over":  {"address,expires\nann@a.example,2001-12-31T00:00:00+01:00\n", nil},
		"a domain by an at": {"@b.example", []string{"b.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := &List{Notes: memqueue.New()}
			if _, err := l.Import(t.Context(), strings.NewReader(c.file)); err != nil {
				t.Fatal(err)
			}
			wantListed(t, l, c.want...)
		})
	}
}

func TestImportRefuses(t *testing.T) {
	for name, c := range map[string]struct{ file, says string }{
		"no address":       {"ann@a.example\nann\x00@a.example", "line 2"},
		"a name":           {"Ann <ann@a.example>", "line 1"},
		"no field":         {"address,reason\n,complaint", "line 2"},
		"too many fields":  {"\n# x\naddress\nann@a.example,complaint", "line 4"},
		"an open quote":    {"address\n\"ann@a.example\nben@a.example\"", "line 2"},
		"a time":           {"address,added\nann@a.example,yesterday", "line 2"},
		"a column":         {"address,more\n", `"more"`},
		"a column twice":   {"address,text,text\n", `"text"`},
		"a long line":      {"address\n\"" + strings.Repeat("x", maxLine) + "\n", "line 2"},
		"a reason":         {"address,reason\nann@a.example,\x01", "line 2"},
		"not UTF-8":        {"address,tenant\nann@a.example,\xff", "line 2"},
		"a year too large": {"address,expires\nann@a.example,9999-12-31T23:59:59-01:00", "line 2"},
	} {
		l := &List{Notes: memqueue.New()}
		_, err := l.Import(t.Context(), strings.NewReader(c.file))
		if !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What stands before a mistake has been added, and is counted.
func TestImportCounts(t *testing.T) {
	l := &List{Notes: memqueue.New()}
	n, err := l.Import(t.Context(), strings.NewReader("ann@a.example\nben@a.example\nnobody@\ncid@a.example\n"))
	if n != 2 || err == nil {
		t.Errorf("imported %d, %v", n, err)
	}
	wantListed(t, l, "ann@a.example", "ben@a.example")
}

func TestImportFails(t *testing.T) {
	bad := errors.New("bad disk")
	list := strings.Repeat("ann@a.example\n", 1000)
	l := &List{Notes: &failing{Queue: memqueue.New(), set: bad}}
	if n, err := l.Import(t.Context(), strings.NewReader(list)); n != 0 || !errors.Is(err, bad) {
		t.Errorf("imported %d, %v", n, err)
	}
	l = &List{Notes: memqueue.New()}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Import(ctx, strings.NewReader(list)); !errors.Is(err, context.Canceled) {
		t.Errorf("imported, %v", err)
	}
	if _, err := l.Import(t.Context(), io.MultiReader(strings.NewReader("ann@a.example\n"), brokenReader{bad})); !errors.Is(err, bad) {
		t.Errorf("imported, %v", err)
	}
	if err := l.Export(t.Context(), brokenWriter{bad}); !errors.Is(err, bad) {
		t.Errorf("exported, %v", err)
	}
	l.Notes = &failing{Queue: memqueue.New(), get: bad}
	if err := l.Notes.Set(t.Context(), entryPrefix+"/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := l.Export(t.Context(), io.Discard); !errors.Is(err, bad) {
		t.Errorf("exported, %v", err)
	}
}

type brokenReader struct{ error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.error }

type brokenWriter struct{ error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.error }

// What Import takes, Export writes so that Import takes it for the same.
func FuzzImport(f *testing.F) {
	for _, seed := range []string{
		"", "ann@a.example", "address,tenant,reason,added,expires,text\nann@a.example,shop,complaint,2026-11-02T10:00:00Z,2999-01-01,said",
		"\ufeffexpires,address\n,b.example", "\"#x@a.example\"\n# x", "a@b.example,\" \"\"x\"\"\",y", "İ@bücher.example", "=x@[IPv6:::1]",
		"a@b.example,,x,0001-01-01", "a@b.example,,,,9999-12-31T23:59:59Z",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		ctx := context.Background()
		first, second := &List{Notes: memqueue.New()}, &List{Notes: memqueue.New()}
		n, err := first.Import(ctx, bytes.NewReader(file))
		if err != nil && !errors.Is(err, queue.ErrInvalid) {
			t.Fatal(err)
		}
		before := entries(t, first)
		if len(before) > n {
			t.Fatalf("imported %d, there are %d", n, len(before))
		}
		var exported bytes.Buffer
		if err := first.Export(ctx, &exported); err != nil {
			t.Fatal(err)
		}
		if m, err := second.Import(ctx, &exported); err != nil || m != len(before) {
			t.Fatalf("imported %d of %d, %v:\n%s", m, len(before), err, exported.Bytes())
		}
		if after := entries(t, second); !slices.Equal(after, before) {
			t.Fatalf("there are\n%s, were\n%s", after, before)
		}
	})
}

// A note is read as the entry that it was written from, or not at all.
func FuzzDecode(f *testing.F) {
	f.Add("/ann@a.example", []byte(`{"address":"Ann@a.example","reason":"no such user","added":"2026-11-02T10:00:00Z"}`))
	f.Add("/a.example", []byte(`{"address":"a.example","tenant":"","text":"x","added":"2026-11-02T10:00:00Z","expires":"2027-11-02T10:00:00Z"}`))
	f.Add("/ann@a.example", []byte(`{"address":"ann@a.example"} {}`))
	f.Add("/", []byte(`{}`))
	f.Add("", []byte(`null`))
	f.Fuzz(func(t *testing.T, name string, note []byte) {
		key := entryPrefix + name
		e, err := decode(key, note)
		if err != nil {
			return
		}
		if e.key() != key {
			t.Fatalf("%q is of %q", key, e.key())
		}
		again, err := decode(key, e.encode())
		if err != nil || again.why() != e.why() || again.Text != e.Text || !again.Expires.Equal(e.Expires) {
			t.Fatalf("%+v is read again as %+v, %v", e, again, err)
		}
	})
}
