package mtasts

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/mx"
)

// A restart is no chance for a downgrade.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		store := &disk{}
		w.announce("example.org", "1", file(Enforce, week, "mx1.example.org"))
		w.expect(w.start(store), "example.org", enforced)
		w.withdraw("example.org")
		w.announce("other.example", "1", nil)
		for range 3 {
			time.Sleep(48 * time.Hour)
			w.expect(w.start(store), "example.org", enforced)
		}
		w.expect(w.start(nil), "example.org", open) // what is kept in memory alone is lost
		time.Sleep(24 * time.Hour)
		w.expect(w.start(store), "example.org", open)
		if n := w.fetches("example.org"); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

// Once it is known that nothing is stored, a store that fails is no reason to do without a policy.
func TestStoreFailsLater(t *testing.T) {
	w := newWorld(t)
	store := &disk{}
	r := w.start(store)
	r.DNS = lookupFunc(func(ctx context.Context, name string, typ mx.Type) (mx.Answer, error) {
		store.broken.Store(true)
		return w.lookup(ctx, name, typ)
	})
	w.announce("example.org", "1", file(Enforce, week, "mx1.example.org"))
	w.expect(r, "example.org", enforced)
}

// A store that can't be read delays mail, since nobody knows what it holds. One that can't be written doesn't.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		store := &disk{}
		r := w.start(store)
		defer r.Close()
		w.announce("example.org", "1", file(Enforce, week, "mx1.example.org"))
		store.broken.Store(true)
		w.expect(r, "example.org", "451 4.3.0")
		store.broken.Store(false)
		store.full.Store(true)
		for range 2 {
			w.expect(r, "example.org", enforced)
		}
		const applied = "; example.org: enforce, unmatched [mx2.example.org]"
		if told := w.told(); told != "example.org: disk is full"+applied+applied {
			t.Errorf("told %q", told)
		}
		if n := w.fetches("example.org"); n != 1 {
			t.Errorf("%d fetches", n)
		}
		time.Sleep(pause)
		store.full.Store(false)
		w.expect(r, "example.org", enforced)
		w.expect(w.start(store), "example.org", enforced)
		if n := w.fetches("example.org"); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestStoredForm(t *testing.T) {
	k := &kept{&Policy{Enforce, week, []string{"mx1.example.org", "*.example.net"}}, "20160831", time.Unix(1e9, 0)}
	const want = "1 1000000000 20160831\nversion: STSv1\r\nmode: enforce\r\nmx: mx1.example.org\r\nmx: *.example.net\r\nmax_age: 604800\r\n"
	value := k.marshal()
	if string(value) != want {
		t.Errorf("%q", value)
	}
	if got, err := parseKept(value); err != nil || !reflect.DeepEqual(got, k) {
		t.Errorf("%+v, %v", got, err)
	}
	k.MX = nil
	for range maxPatterns {
		k.MX = append(k.MX, "*."+long(252)[:253])
	}
	if n := len(k.marshal()); n > 32<<10 {
		t.Errorf("the longest one has %d octets", n)
	}
	if n := len(storeKey(long(252)[:253])); n > 260 {
		t.Errorf("the longest key has %d octets", n)
	}
}

// What is stored may be anything. What can't be believed is fetched again.
func TestHostileStore(t *testing.T) {
	now := time.Now()
	const policy = "version: STSv1\nmode: enforce\nmx: mx2.example.org\nmax_age: 604800\n"
	head := func(at time.Time) string { return fmt.Sprintf("1 %d 1\n", at.Unix()) }
	for name, c := range map[string]struct{ value, want string }{
		"good":                {head(now) + policy, "mx2.example.org verified"},
		"a clock set back":    {head(now.Add(12*time.Hour)) + policy, "mx2.example.org verified"},
		"from the future":     {head(now.Add(48*time.Hour)) + policy, enforced},
		"expired":             {head(now.Add(-8*24*time.Hour)) + policy, enforced},
		"from the beginning":  {"1 0 1\n" + policy, enforced},
		"a negative time":     {"1 -1 1\n" + policy, enforced},
		"a huge time":         {"1 9223372036854775807 1\n" + policy, enforced},
		"a larger time":       {"1 99999999999999999999999 1\n" + policy, enforced},
		"empty":               {"", enforced},
		"the next version":    {"2" + head(now)[1:] + policy, enforced},
		"no version":          {head(now)[1:] + policy, enforced},
		"a bad id":            {strings.Replace(head(now), " 1\n", " -\n", 1) + policy, enforced},
		"no policy":           {head(now), enforced},
		"half a policy":       {head(now) + policy[:len(policy)/2], enforced},
		"binary":              {"\x00\x01\xff", enforced},
		"much":                {head(now) + strings.Repeat("mx: a\n", 1e6), enforced},
		"much without an end": {strings.Repeat("1", 1e7), enforced},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			store := &disk{}
			store.Set(t.Context(), storeKey("example.org"), []byte(c.value))
			r := w.start(store)
			defer r.Close()
			w.announce("example.org", "1", file(Enforce, week, "mx1.example.org"))
			w.expect(r, "example.org", c.want)
		})
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var m memory
	value := make([]byte, 32<<10)
	for i := range 2 * maxMemory / len(value) {
		key := fmt.Sprint(i)
		m.Set(t.Context(), key, value)
		m.Set(t.Context(), key, value) // replaces
		if got, _ := m.Get(t.Context(), key); !bytes.Equal(got, value) {
			t.Fatal("the last one is gone")
		}
		if m.size > maxMemory {
			t.Fatalf("%d octets", m.size)
		}
	}
	size := 0
	for key, value := range m.values {
		size += len(key) + len(value)
	}
	if size != m.size || size < maxMemory/2 {
		t.Errorf("%d octets, counted %d", size, m.size)
	}
	if got, err := m.Get(t.Context(), "nothing"); got != nil || err != nil {
		t.Error(got, err)
	}
}

func FuzzStored(f *testing.F) {
	f.Add([]byte("1 1000000000 20160831\nversion: STSv1\r\nmode: enforce\r\nmx: mx1.example.org\r\nmax_age: 604800\r\n"))
	f.Add([]byte("1 0 a\nversion: STSv1\nmode: none\nmax_age: 0"))
	f.Add([]byte("2 1000000000 20160831\n"))
	f.Fuzz(func(t *testing.T, value []byte) {
		k, err := parseKept(value)
		if err != nil {
			return
		}
		if !validID(k.id) || k.expires().Before(k.fetched.Add(pause)) || k.expires().After(k.fetched.Add(maxAge*time.Second)) {
			t.Errorf("%+v", k)
		}
		if again, err := parseKept(k.marshal()); err != nil || !reflect.DeepEqual(again, k) {
			t.Errorf("%+v is %+v, %v the second time", k, again, err)
		}
	})
}
