package reversepath_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/internal/address"
	"github.com/postroad/postroad/delivery/reversepath"
)

const day = 24 * time.Hour

func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

func key(c string) []byte { return []byte(strings.Repeat(c, 16)) }

func newMailbox(t testing.TB, o reversepath.Options) *reversepath.Mailbox {
	t.Helper()
	if o.Address == "" {
		o.Address = "bounces@news.example"
	}
	m, err := reversepath.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// names are what a reverse-path may have to name, with the form that it has there.
var names = []struct{ name, local string }{
	{"bob@example.org", "bob=example.org"},
	{"bob-smith.jr@example.org", "bob-smith.jr=example.org"},
	{"42/bob@example.org", "42_2fbob=example.org"},
	{"john_doe@example.org", "john_5fdoe=example.org"},
	{"bob+news@example.org", "bob_2bnews=example.org"},
	{"bob=x@example.org", "bob_3dx=example.org"},
	{"Bob@example.org", "_42ob=example.org"},
	{"Bob.Smith@Example.ORG", "_42ob._53mith=_45xample._4f_52_47"},
	{`"a..b"@example.org`, "_22a._2eb_22=example.org"},
	{`"a@b"@example.org`, "_22a=b_22=example.org"},
	{`"a\"b"@example.org`, "_22a_5c_22b_22=example.org"},
	{"jürgen@example.org", "j_c3_bcrgen=example.org"},
	{"bob@[192.0.2.1]", "bob=_5b192.0.2.1_5d"},
	{"bob@[IPv6:2001:db8::1]", "bob=_5b_49_50v6_3a2001_3adb8_3a_3a1_5d"},
	{"bob@xn--bcher-kva.example", "bob=xn--bcher-kva.example"},
	{"__0123456789abcdef01234567", "_5f_5f0123456789abcdef01234567"},
	{".", "_2e"},
	{"-", "-"},
	{"a\r\nb\x00\xff", "a_0d_0ab_00_ff"},
}

func TestFor(t *testing.T) {
	m := newMailbox(t, reversepath.Options{})
	for _, c := range names {
		got := m.For(c.name, noon())
		if want := "bounces+" + c.local + "@news.example"; got != want {
			t.Errorf("For(%q) is %q, want %q", c.name, got, want)
		}
	}
	dash := newMailbox(t, reversepath.Options{Address: "News@news.example", Separator: "-"})
	if got := dash.For("bob@example.org", noon()); got != "News-bob=example.org@news.example" {
		t.Errorf("with a dash it is %q", got)
	}
}

// What is long, and what is nothing, is found by its digest.
func TestDigest(t *testing.T) {
	for _, name := range []string{
		"", strings.Repeat("x", 57), strings.Repeat("x", 64) + "@example.org", strings.Repeat("用户", 10) + "@例子.广告",
	} {
		for _, m := range []*reversepath.Mailbox{
			newMailbox(t, reversepath.Options{}),
			newMailbox(t, reversepath.Options{Keys: [][]byte{key("k")}}),
		} {
			made := m.For(name, noon())
			got, err := m.Parse(made, noon())
			if err != nil || got != (reversepath.Returned{Digest: reversepath.Digest(name)}) {
				t.Errorf("%q of %q is read as %+v, %v", made, name, got, err)
			}
		}
	}
	longest := strings.Repeat("x", 56)
	if got := newMailbox(t, reversepath.Options{}).For(longest, noon()); got != "bounces+"+longest+"@news.example" {
		t.Errorf("56 octets, which fit, became %q", got)
	}
	if d := reversepath.Digest("bob@example.org"); d != "d1llsj7kv5hqru7l2hka9018" {
		t.Errorf("the digest is now %q: what is on its way can't be found any more", d)
	}
}

// What was signed is read again as it was made, by this version and the next.
func TestSignedStaysGood(t *testing.T) {
	m := newMailbox(t, reversepath.Options{Keys: [][]byte{key("k")}})
	const want = "bounces+bob=example.org__a11ju4rdr771nc78@news.example"
	if got := m.For("bob@example.org", noon()); got != want {
		t.Errorf("it is %q, want %q", got, want)
	}
}

func TestParse(t *testing.T) {
	plain := newMailbox(t, reversepath.Options{})
	signing := newMailbox(t, reversepath.Options{Keys: [][]byte{key("k")}})
	good := signing.For("bob@example.org", noon())
	forge := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	other := newMailbox(t, reversepath.Options{Address: "others@news.example", Keys: [][]byte{key("k")}})
	for _, c := range []struct {
		name    string
		mailbox *reversepath.Mailbox
		address string
		want    error
	}{
		{"upper case", signing, strings.ToUpper(good), nil},
		{"another recipient", signing, forge("bob", "rob"), reversepath.ErrSignature},
		{"another day", signing, forge("__a", "__b"), reversepath.ErrSignature},
		{"cut", signing, forge("@", "")[:len(good)-14] + "@news.example", reversepath.ErrForeign},
		{"no name", signing, "bounces+" + good[strings.Index(good, "__"):], reversepath.ErrForeign},
		{"not signed", signing, plain.For("bob@example.org", noon()), reversepath.ErrForeign},
		{"a digest that isn't signed", signing, plain.For("", noon()), reversepath.ErrForeign},
		{"signed, to one that doesn't sign", plain, good, reversepath.ErrForeign},
		{"signed for another mailbox", signing, strings.Replace(other.For("bob@example.org", noon()), "others", "bounces", 1), reversepath.ErrSignature},
		{"another mailbox", signing, other.For("bob@example.org", noon()), reversepath.ErrForeign},
		{"another domain", plain, "bounces+bob=example.org@old.example", reversepath.ErrForeign},
		{"a domain that ends alike", plain, "bounces+bob=example.org@bad.news.example", reversepath.ErrForeign},
		{"nothing added", plain, "bounces@news.example", reversepath.ErrForeign},
		{"nothing after the separator", plain, "bounces+@news.example", reversepath.ErrForeign},
		{"an escape that isn't needed", plain, "bounces+_61nn=example.org@news.example", reversepath.ErrForeign},
		{"half an escape", plain, "bounces+ann_6@news.example", reversepath.ErrForeign},
		{"no escape", plain, "bounces+ann_zz@news.example", reversepath.ErrForeign},
		{"a character that must be escaped", plain, "bounces+ann!@news.example", reversepath.ErrForeign},
		{"two dots", plain, "bounces+ann..b@news.example", reversepath.ErrForeign},
		{"a short digest", plain, "bounces+__0123@news.example", reversepath.ErrForeign},
		{"a digest with a line end", plain, "bounces+__0123456789abcdef01234567\n@news.example", reversepath.ErrForeign},
		{"too long to be ours", plain, "bounces+" + strings.Repeat("a", 57) + "@news.example", reversepath.ErrForeign},
		{"a sign that folds to k", plain, "bounces+bo\u212a@news.example", reversepath.ErrForeign},
		{"empty", plain, "", reversepath.ErrForeign},
	} {
		got, err := c.mailbox.Parse(c.address, noon())
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.want == nil && got.Name != "bob@example.org" || c.want != nil && got != (reversepath.Returned{}) {
			t.Errorf("%s: read as %+v", c.name, got)
		}
	}
}

func TestExpiry(t *testing.T) {
	m := newMailbox(t, reversepath.Options{Keys: [][]byte{key("k")}, Lifetime: 10 * day})
	made := m.For("bob@example.org", noon())
	if again := m.For("bob@example.org", noon().Add(11*time.Hour)); again != made {
		t.Errorf("late on the same day it is %q, not %q", again, made)
	}
	for _, c := range []struct {
		after time.Duration
		want  error
	}{
		{-40 * day, nil}, {0, nil}, {10 * day, nil}, {10*day + 11*time.Hour, nil}, {11 * day, reversepath.ErrExpired}, {300 * day, reversepath.ErrExpired},
	} {
		if _, err := m.Parse(made, noon().Add(c.after)); !errors.Is(err, c.want) {
			t.Errorf("after %v: %v, want %v", c.after, err, c.want)
		}
	}
	for _, year := range []int{1, 1900, 2148} { // clocks that are wrong
		at := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		if _, err := m.Parse(m.For("bob@example.org", at), at); err != nil {
			t.Errorf("in the year %d: %v", year, err)
		}
	}
}

func TestKeysRotate(t *testing.T) {
	before := newMailbox(t, reversepath.Options{Keys: [][]byte{key("o")}})
	during := newMailbox(t, reversepath.Options{Keys: [][]byte{key("n"), key("o")}})
	after := newMailbox(t, reversepath.Options{Keys: [][]byte{key("n")}})
	for _, c := range []struct {
		name   string
		maker  *reversepath.Mailbox
		reader *reversepath.Mailbox
		want   error
	}{
		{"old key, both", before, during, nil},
		{"new key, both", during, during, nil},
		{"new key, new", during, after, nil},
		{"old key, new", before, after, reversepath.ErrSignature},
		{"new key, old", after, before, reversepath.ErrSignature},
	} {
		if _, err := c.reader.Parse(c.maker.For("bob@example.org", noon()), noon()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		field string
		o     reversepath.Options
	}{
		{"Address", reversepath.Options{}},
		{"Address", reversepath.Options{Address: "bounces"}},
		{"Address", reversepath.Options{Address: "@news.example"}},
		{"Address", reversepath.Options{Address: "boun ces@news.example"}},
		{"Address", reversepath.Options{Address: "bounces@bücher.example"}},
		{"Address", reversepath.Options{Address: "boo\u212as@news.example"}},
		{"Address", reversepath.Options{Address: "bounces@news.example\r\n"}},
		{"Address", reversepath.Options{Address: strings.Repeat("b", 38) + "@news.example"}},
		{"Address", reversepath.Options{Address: strings.Repeat("b", 20) + "@news.example", Keys: [][]byte{key("k")}}},
		{"Address", reversepath.Options{Address: "bounces@" + strings.Repeat("news.", 37) + "example"}},
		{"Separator", reversepath.Options{Address: "bounces@news.example", Separator: "="}},
		{"Keys: key 1", reversepath.Options{Address: "bounces@news.example", Keys: [][]byte{key("k"), []byte("secret")}}},
		{"Lifetime", reversepath.Options{Address: "bounces@news.example", Lifetime: -1}},
	} {
		if _, err := reversepath.New(c.o); err == nil || !strings.Contains(err.Error(), "Options."+c.field) {
			t.Errorf("%+v: %v, want an error about %s", c.o, err, c.field)
		}
	}
	for _, o := range []reversepath.Options{
		{Address: strings.Repeat("b", 37) + "@news.example"},
		{Address: strings.Repeat("b", 19) + "@news.example", Keys: [][]byte{key("k")}},
	} {
		if _, err := reversepath.New(o); err != nil {
			t.Error(err)
		}
	}
}

// FuzzFor makes reverse-paths of any names: each can stand in an envelope, and gives its name back whatever servers do to its
// case.
func FuzzFor(f *testing.F) {
	for _, c := range names {
		f.Add(c.name)
	}
	mailboxes := []*reversepath.Mailbox{
		newMailbox(f, reversepath.Options{}),
		newMailbox(f, reversepath.Options{Address: "Mail-Er@news.example", Separator: "-", Keys: [][]byte{key("k")}}),
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, m := range mailboxes {
			made := m.For(name, noon())
			if a, err := address.Parse(made); err != nil || a.String() != made || a.UTF8 {
				t.Fatalf("%q, made of %q, is read as %+v, %v", made, name, a, err)
			}
			for _, form := range []string{made, strings.ToLower(made), strings.ToUpper(made)} {
				got, err := m.Parse(form, noon())
				if err != nil || got.Digest != reversepath.Digest(name) || got.Name != name && got.Name != "" {
					t.Fatalf("%q, made of %q, is read as %+v, %v", form, name, got, err)
				}
			}
		}
	})
}

// FuzzParse reads anything: what is taken is what For makes.
func FuzzParse(f *testing.F) {
	plain := newMailbox(f, reversepath.Options{})
	signing := newMailbox(f, reversepath.Options{Keys: [][]byte{key("k")}})
	for _, c := range names {
		f.Add(plain.For(c.name, noon()))
		f.Add(signing.For(c.name, noon()))
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := plain.Parse(s, noon()); err == nil && got.Name != "" && plain.For(got.Name, noon()) != strings.ToLower(s) {
			t.Errorf("%q is read as %q", s, got.Name)
		}
		if got, err := signing.Parse(s, noon()); err == nil && got.Name != "" && signing.For(got.Name, noon()) != strings.ToLower(s) {
			t.Errorf("%q is read as %q", s, got.Name)
		}
	})
}
