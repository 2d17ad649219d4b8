package dkim_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/postroad/postroad/delivery/dkim"
)

// letter is a message to sign.
type letter struct{ name, header, body string }

var letters = []letter{
	{"plain", header, body},
	{"no body", header, ""},
	{"empty lines only", header, "\r\n\r\n \t\r\n"},
	{"empty lines at the ends", header, "\r\n\r\nHello.\r\n\r\n \r\n\r\n"},
	{"white space", header, "  a \t b  \r\n\tc\t\r\n \r\nd\t\te \r\n"},
	{"no line end", header, "Hello."},
	{"dots", header, ".\r\n..\r\nFrom here\r\n>From there\r\n"},
	{"UTF-8", strings.Replace(header, "Lunch", "Grüße", 1), "Mahlzeit, 世界\r\n"},
	{"folded", strings.Replace(header, "Lunch", "\r\n a\t \r\n\tlot  \r\n  of \r\n lines", 1), body},
	{"odd case and space", "FROM:Ann<ann@example.com>\r\nsubject:  Lunch  \r\nto:\r\n bob@example.org\r\n", body},
	{"only From", "From: ann@example.com\r\n", body},
	{"repeated", header + "Subject: Dinner\r\nTo: eve@example.org\r\n", body},
	{"empty fields", header + "Cc:\r\nReply-To: \r\nList-Id:\r\n", body},
	{"a campaign", header + "List-Unsubscribe: <https://example.com/u?1>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" +
		"List-Id: <news.example.com>\r\nFeedback-ID: a:b:c:d\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n", body},
	{"all fields", "From: ann@example.com\r\n" + strings.Join([]string{"Sender", "Reply-To", "Subject", "Date", "Message-ID", "To", "Cc", "MIME-Version",
		"Content-Type", "Content-Transfer-Encoding", "In-Reply-To", "References", "Auto-Submitted", "List-Id", "List-Help", "List-Unsubscribe",
		"List-Unsubscribe-Post", "List-Subscribe", "List-Post", "List-Owner", "List-Archive", "CFBL-Address", "CFBL-Feedback-ID", "Feedback-ID", ""}, ": x\r\n"), body},
	{"much", "Received: from a\r\n by b;\r\n Sun, 22 Nov 2026 07:00:00 +0000\r\n" + header + strings.Repeat("X-Field: y\r\n z\r\n", 5000), strings.Repeat("0123456789\r\n", 50_000)},
	{"white space just allowed", header, strings.Repeat("\r\n", 128<<10) + "x\r\n"},
}

// TestSign has messages verified by go-msgauth.
func TestSign(t *testing.T) {
	keys := both(t)
	s, records := newSigner(t, keys...), records(t, keys)
	obsolete := letter{"space before a colon", "From : ann@example.com\r\nSubject\t:\r\n Lunch\r\n", body} // dkimpy doesn't read it
	for _, l := range append(letters, obsolete) {
		message := mustSign(t, s, l.header, l.body)
		if all, good := verify(t, message, records); all != 2 || good != 2 {
			t.Errorf("%s: %d signatures of %d are good: %.2000q", l.name, good, all, message)
		}
		for line := range strings.SplitSeq(message[:len(message)-len(l.header)-len(l.body)-2], "\r\n") {
			if len(line) > 998 {
				t.Errorf("%s: line of %d octets", l.name, len(line))
			}
		}
	}
}

// TestIndependentVerifier has them verified by a program that knows neither us nor go-msgauth.
func TestIndependentVerifier(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's, with Debian's packages
	keys := both(t)
	s, dir := newSigner(t, keys...), t.TempDir()
	args := []string{filepath.Join("testdata", "verify.py")}
	add := func(name, content string) {
		args = append(args, filepath.Join(dir, name))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list, err := json.Marshal(records(t, keys))
	if err != nil {
		t.Fatal(err)
	}
	add("records", string(list))
	var want []string
	for _, l := range letters {
		add(l.name, mustSign(t, s, l.header, l.body))
		want = append(want, l.name+": True", l.name+": True")
	}
	forged := mustSign(t, s, header, body)
	add("forged body", strings.Replace(forged, "Hello", "Hullo", 1))
	add("forged header", strings.Replace(forged, "Lunch", "Dinner", 1))
	cmd := exec.Command(python, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() == 3 {
		missing(t, "Debian's package python3-dkim is not installed")
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(got) != len(want)+4 {
		t.Fatalf("there are answers for %d signatures, not for %d: %s", len(got), len(want)+4, out)
	}
	for i, answer := range got {
		if i < len(want) && !strings.HasSuffix(want[i], ": "+answer) {
			t.Errorf("signature %d: %s, not %s", i, answer, want[i])
		} else if i >= len(want) && answer == "True" {
			t.Errorf("signature %d of a forged message is good", i)
		}
	}
}

// TestChanges says which changes to a signed message its signatures survive.
func TestChanges(t *testing.T) {
	keys := both(t)
	s, records := newSigner(t, keys...), records(t, keys)
	campaign := header + "List-Unsubscribe: <https://example.com/u?1>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nCFBL-Address: fbl@example.com\r\n"
	message := mustSign(t, s, campaign, body)
	replace := func(from, to string) string { return strings.Replace(message, from, to, 1) }
	add := func(name string) string { return name + ": x@example.net\r\n" + message }
	for what, changed := range map[string]string{
		"nothing":                  message,
		"a trace field":            add("Received"),
		"what lists add":           add("List-Id"),
		"a Sender":                 add("Sender"),
		"folding":                  replace("Subject: Lunch", "Subject:\r\n\tLunch "),
		"space at the end of line": replace("Bob.", "Bob. "),
		"empty lines at the end":   message + "\r\n\r\n",
	} {
		if all, good := verify(t, changed, records); all != 2 || good != 2 {
			t.Errorf("%s: %d signatures of %d are good", what, good, all)
		}
	}
	forged := map[string]string{
		"body":              replace("Hello", "Hullo"),
		"more body":         message + "PS\r\n",
		"no one-click":      replace("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", ""),
		"where to":          replace("/u?1", "/u?2"),
		"reports of abuse":  replace("fbl@", "abuse@"),
		"no Message-ID":     replace("Message-ID: <1@example.com>\r\n", ""),
		"another recipient": replace("To: bob", "To: eve"),
	}
	for _, name := range []string{"From", "To", "Cc", "Subject", "Date", "Reply-To", "Message-ID", "MIME-Version", "Content-Type",
		"Content-Transfer-Encoding", "List-Unsubscribe", "List-Unsubscribe-Post", "CFBL-Address", "subject "} {
		forged["another "+name] = add(name)
	}
	for what, changed := range forged {
		if changed == message {
			t.Errorf("%s: isn't changed", what)
		}
		if all, good := verify(t, changed, records); all != 2 || good != 0 {
			t.Errorf("%s: %d signatures of %d are good", what, good, all)
		}
	}
}

func TestSignedBefore(t *testing.T) {
	keys := append(both(t), newKey(t, "list.example", "l", ed25519Key))
	s, records := newSigner(t, keys...), records(t, keys)
	once := mustSign(t, s, header, body)
	list, err := dkim.New(dkim.Config{Keys: keys[2:], Default: "list.example"})
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(once, "\r\n\r\n")
	twice := mustSign(t, list, head+"\r\n", body)
	if got := strings.Join(names(twice), " "); got != "l._domainkey.list.example r._domainkey.example.com e._domainkey.example.com" {
		t.Errorf("signatures of %s", got)
	}
	if all, good := verify(t, twice, records); all != 3 || good != 3 {
		t.Errorf("%d signatures of %d are good", good, all)
	}
}

func TestConcurrently(t *testing.T) {
	keys := both(t)
	s, records := newSigner(t, keys...), records(t, keys)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			message, err := sign(s, header, body)
			if err != nil {
				t.Error(err)
			} else if _, good := verify(t, message, records); good != 2 {
				t.Errorf("%d good signatures", good)
			}
		})
	}
	all.Wait()
}

// The body comes in pieces of any size.
func TestPieces(t *testing.T) {
	keys := both(t)
	s, records := newSigner(t, keys...), records(t, keys)
	text := strings.Repeat("a b\r\n\r\n \tc \r\n", 100)
	for _, size := range []int{1, 7, 1000} {
		signature, err := s.Sign([]byte(header))
		if err != nil {
			t.Fatal(err)
		}
		for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
			if n, err := signature.Write([]byte(rest[:min(size, len(rest))])); n != min(size, len(rest)) || err != nil {
				t.Fatal(n, err)
			}
		}
		fields, err := signature.Fields()
		if err != nil {
			t.Fatal(err)
		}
		if _, good := verify(t, string(fields)+header+"\r\n"+text, records); good != 2 {
			t.Errorf("pieces of %d: %d good signatures", size, good)
		}
	}
}

// Of a body of any size and kind, little is kept.
func TestMemory(t *testing.T) {
	s := newSigner(t, both(t)...)
	live := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for name, piece := range map[string]string{"lines": strings.Repeat("0123456789\r\n", 1000), "empty lines": strings.Repeat("\r\n", 100<<10) + "x"} {
		before := live()
		signature, err := s.Sign([]byte(header))
		if err != nil {
			t.Fatal(err)
		}
		for size := 0; size < 10_000_000; size += len(piece) {
			if _, err := io.WriteString(signature, piece); err != nil {
				t.Fatal(err)
			}
		}
		if kept := live() - before; kept > 2<<20 {
			t.Errorf("%s: %d octets are kept", name, kept)
		}
		if _, err := signature.Fields(); err != nil {
			t.Error(err)
		}
	}
}
