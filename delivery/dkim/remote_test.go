package dkim_test

import (
	"crypto"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery/dkim"
)

var errPaper = errors.New("out of paper")

// remote is a key that is elsewhere.
type remote struct {
	crypto.Signer
	err    error
	panics bool
	sleep  time.Duration
	calls  *atomic.Int32
}

func (r *remote) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if r.calls != nil {
		r.calls.Add(1)
	}
	time.Sleep(r.sleep)
	if r.panics {
		panic("out of paper")
	}
	if r.err != nil {
		return nil, r.err
	}
	return r.Signer.Sign(rand, digest, opts)
}

func TestRemoteKeyFails(t *testing.T) {
	for _, file := range []string{rsaKey, ed25519Key} {
		key := &remote{Signer: readKey(t, file)}
		s := newSigner(t, dkim.Key{Domain: "example.com", Selector: "far", Signer: key}, newKey(t, "example.com", "near", ed25519Key))
		for what, fail := range map[string]func(){
			"far._domainkey.example.com: out of paper":                             func() { key.err = errPaper },
			"far._domainkey.example.com: panic: out of paper":                      func() { key.panics = true },
			"far._domainkey.example.com: its signature doesn't fit its public key": func() { key.Signer = other{key.Signer} },
		} {
			before := *key
			fail()
			if _, err := sign(s, header, body); err == nil || err.Error() != "dkim: "+what {
				t.Errorf("not %q: %v", what, err)
			}
			*key = before
		}
		if _, err := sign(s, header, body); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
}

// other signs something else than it is asked to.
type other struct{ crypto.Signer }

func (o other) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return o.Signer.Sign(rand, append(digest[1:len(digest):len(digest)], 'x'), opts)
}

func TestSlowKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := &remote{Signer: readKey(t, ed25519Key), calls: new(atomic.Int32)}
		s, err := dkim.New(dkim.Config{Keys: []dkim.Key{{Domain: "example.com", Selector: "far", Signer: key}}, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		took := func(want time.Duration, wantErr error) {
			t.Helper()
			start := time.Now()
			if _, err := sign(s, header, body); !errors.Is(err, wantErr) {
				t.Errorf("error %v", err)
			}
			if d := time.Since(start); d != want {
				t.Errorf("it took %v, not %v", d, want)
			}
		}
		key.sleep = 59 * time.Second
		took(59*time.Second, nil)
		key.sleep = 24 * time.Hour
		took(time.Minute, dkim.ErrTimeout)
		for range 63 {
			go sign(s, header, body)
		}
		synctest.Wait()
		calls := key.calls.Load()
		took(time.Minute, dkim.ErrTimeout) // so many questions are open that it isn't even asked
		if now := key.calls.Load(); now != calls || calls != 66 {
			t.Errorf("it was asked %d times, then %d times", calls, now)
		}
		time.Sleep(24 * time.Hour)
		key.sleep = time.Second
		took(time.Second, nil)
	})
}

// The keys of a message are asked at the same time.
func TestKeysAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := &remote{Signer: readKey(t, ed25519Key)}
		two := &remote{Signer: readKey(t, rsaKey)}
		s := newSigner(t, dkim.Key{Domain: "example.com", Selector: "one", Signer: one}, dkim.Key{Domain: "example.com", Selector: "two", Signer: two})
		one.sleep, two.sleep = 3*time.Second, 4*time.Second
		start := time.Now()
		if message, err := sign(s, header, body); strings.Join(names(message), " ") != "one._domainkey.example.com two._domainkey.example.com" || err != nil {
			t.Errorf("%q, %v", message, err)
		}
		if d := time.Since(start); d != 4*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// A message that isn't had whole leaves nothing behind, and no key is asked.
func TestAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a goroutine that stays behind fails it
		key := &remote{Signer: readKey(t, ed25519Key), calls: new(atomic.Int32)}
		s := newSigner(t, dkim.Key{Domain: "example.com", Selector: "a", Signer: key}, newKey(t, "example.com", "b", rsaKey))
		for _, written := range []string{"", "Hel", strings.Repeat(body, 10_000)} {
			signature, err := s.Sign([]byte(header))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(signature, written); err != nil {
				t.Fatal(err)
			}
			if err := signature.(io.Closer).Close(); err != nil {
				t.Error(err)
			}
			if fields, err := signature.Fields(); err == nil {
				t.Errorf("it signs: %q", fields)
			}
		}
		if n := key.calls.Load(); n != 1 {
			t.Errorf("the key was asked %d times, not by New alone", n)
		}
	})
}

// What nobody closes is closed by the garbage collector.
func TestForgotten(t *testing.T) {
	s := newSigner(t, both(t)...)
	before := runtime.NumGoroutine()
	for range 10 {
		if _, err := s.Sign([]byte(header)); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; runtime.Gosched() {
		if runtime.GC(); time.Now().After(end) {
			t.Fatalf("%d goroutines, before %d", runtime.NumGoroutine(), before)
		}
	}
}
