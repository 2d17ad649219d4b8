package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// startTestSink runs a sink in this process until the test ends.
func startTestSink(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- new(sink).serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func askSink(t *testing.T, addr string) *remote {
	t.Helper()
	r, err := dialSink(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

// TestSinkAnswers plays dialogues: what is said at once, and the codes of all answers to it.
func TestSinkAnswers(t *testing.T) {
	addr := startTestSink(t)
	counter := askSink(t, addr)
	const envelope = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
	text := "Subject: x\r\n\r\n" + numberMark + "2\r\n"
	long := string(newLetter(100_000))
	for _, tt := range []struct {
		name, say, answers string
		arrived            int
	}{
		{"DATA", "EHLO x\r\n" + envelope + "DATA\r\n" + text + ".\r\nQUIT\r\n", "220 250 250 250 354 250 221", 1},
		{"BDAT", "EHLO x\r\n" + envelope + fmt.Sprintf("BDAT %d LAST\r\n%sQUIT\r\n", len(text), text), "220 250 250 250 250 221", 1},
		{"BDAT in pieces", "EHLO x\r\n" + envelope + fmt.Sprintf("BDAT 20\r\n%sBDAT %d\r\n%sBDAT 0 LAST\r\nQUIT\r\n", text[:20], len(text)-20, text[20:]),
			"220 250 250 250 250 250 250 221", 1},
		{"longer than the buffer", "EHLO x\r\n" + envelope + fmt.Sprintf("BDAT %d LAST\r\n%sQUIT\r\n", len(long), long), "220 250 250 250 250 221", 1},
		{"several recipients", "HELO x\r\n" + envelope + "RCPT TO:<e@f>\r\nDATA\r\n" + text + ".\r\nQUIT\r\n", "220 250 250 250 250 354 250 221", 1},
		{"two messages", "EHLO x\r\n" + envelope + "DATA\r\n" + text + ".\r\n" + envelope + "DATA\r\n" + strings.Replace(text, "2\r\n", "3\r\n", 1) + ".\r\nQUIT\r\n",
			"220 250 250 250 354 250 250 250 354 250 221", 2},
		{"out of order", "RCPT TO:<c@d>\r\nDATA\r\nBDAT 3 LAST\r\nabcHELP\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nRSET\r\nNOOP\r\nHELP\r\nQUIT\r\n",
			"220 503 503 503 502 250 503 250 250 502 221", 0},
		{"DATA after BDAT", envelope + "BDAT 1\r\nxDATA\r\nRCPT TO:<c@d>\r\nQUIT\r\n", "220 250 250 250 503 503 221", 0},
		{"no number", envelope + "DATA\r\nSubject: x\r\n.\r\nQUIT\r\n", "220 250 250 354 250 221", 0},
		{"cut off", envelope + fmt.Sprintf("BDAT %d LAST\r\n%s", len(text)+1, text), "220 250 250", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := counter.begin(10); err != nil {
				t.Fatal(err)
			}
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go func() {
				conn.Write([]byte(tt.say))
				conn.(*net.TCPConn).CloseWrite()
			}()
			var answers []string
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				if line := lines.Text(); len(line) > 3 && line[3] == ' ' {
					answers = append(answers, line[:3])
				}
			}
			if got := strings.Join(answers, " "); got != tt.answers {
				t.Errorf("answers %s\nwant    %s", got, tt.answers)
			}
			if arrived, err := counter.wait(t.Context(), tt.arrived, time.Minute); arrived != tt.arrived || err != nil {
				t.Errorf("%d arrived, want %d (%v)", arrived, tt.arrived, err)
			}
		})
	}
}

// TestSinkCounts tells lost messages and duplicates from the others.
func TestSinkCounts(t *testing.T) {
	addr := startTestSink(t)
	counter := askSink(t, addr)
	if err := counter.begin(5); err != nil {
		t.Fatal(err)
	}
	before := time.Now().UnixNano()
	s, err := dialServer(t.Context(), addr, load{domains: []string{"example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	text := newLetter(1000)
	for i, number := range []int{0, 3, 3, 1, 3, 7} { // 7 is none of ours
		s.chunking = i%2 == 0
		text.setNumber(number)
		if err := s.send(t.Context(), number, text); err != nil {
			t.Fatal(err)
		}
	}
	r, err := counter.receipts()
	if err != nil {
		t.Fatal(err)
	}
	after := time.Now().UnixNano()
	for number, at := range r.first {
		if arrived := number == 0 || number == 1 || number == 3; arrived != (at != 0) || arrived && (at < before || at > after) {
			t.Errorf("message %d at %d", number, at)
		}
	}
	if r.duplicates != 2 {
		t.Errorf("%d duplicates", r.duplicates)
	}
	if err := counter.begin(maxMessages + 1); err == nil {
		t.Error("there is no limit to what is counted")
	}
}

func TestWaitGivesUpWhenNothingArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l ledger
		l.begin(3)
		go func() {
			for number := range 2 {
				time.Sleep(patience - time.Second)
				l.note(number, time.Now())
			}
		}()
		began := time.Now()
		if err := waitFor(t.Context(), &l, 3); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 2*patience || took > 4*patience {
			t.Errorf("gave up after %v", took)
		}
		if r, _ := l.receipts(); r.first[0] == 0 || r.first[1] == 0 || r.first[2] != 0 {
			t.Errorf("%v", r)
		}
	})
}

func TestLetter(t *testing.T) {
	for size := minSize; size < minSize+200; size++ {
		l := newLetter(size)
		l.setNumber(1234567890)
		if len(l) != size || strings.Count(string(l), "\r") != strings.Count(string(l), "\r\n") || strings.Count(string(l), "\n") != strings.Count(string(l), "\r\n") {
			t.Fatalf("%d octets: %q", size, l)
		}
		for _, step := range []int{1, 7, tailSize, size} {
			var end tail
			for i := 0; i < size; i += step {
				end.add(l[i:min(i+step, size)])
			}
			if n := end.number(); n != 1234567890 {
				t.Fatalf("in steps of %d: number %d in %q", step, n, end)
			}
		}
	}
	if n := recipientNumber(load{domains: domainNames("d", 3)}.recipient(77)); n != 77 {
		t.Errorf("recipient of %d", n)
	}
}

func FuzzSink(f *testing.F) {
	f.Add("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3 LAST\r\nabcQUIT\r\n")
	f.Add("XCOUNT BEGIN 5\r\nXCOUNT WAIT 0 0\r\nXCOUNT TIMES\r\nXCOUNT\r\nBDAT\r\n")
	f.Add("MAIL\r\nRCPT\r\nDATA\r\n\r\n" + numberMark + "0\r\n.\r\n")
	large := regexp.MustCompile("[0-9]{5}")
	f.Fuzz(func(t *testing.T, say string) {
		if large.MatchString(say) {
			return // it may ask for a large ledger
		}
		ctx, cancel := context.WithCancel(t.Context())
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() {
			new(sink).talk(ctx, server)
			close(done)
		}()
		go func() {
			client.Write([]byte(say + "\r\nQUIT\r\n"))
			time.Sleep(time.Millisecond) // it may wait for more, for ever
			cancel()
			client.Close()
		}()
		io.Copy(io.Discard, client)
		<-done
	})
}
