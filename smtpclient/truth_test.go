package smtpclient_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// Whatever a server answers, and wherever it hangs up, what the results say is what the server has: a recipient who is
// delivered has the message once, one who is uncertain at most once, and anybody else not at all.
func TestTruth(t *testing.T) {
	for seed := range uint64(1000) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &moody{Rand: rand.New(rand.NewPCG(seed, 0)), mood: rand.New(rand.NewPCG(seed, 1))}
				m.calm = []int{8, 50}[m.IntN(2)]
				m.run(t)
			})
		})
	}
}

// moody is a server that answers as the mood takes it, and the client that has to do with it.
type moody struct {
	*rand.Rand            // the client's
	mood       *rand.Rand // the server's
	calm       int
}

func (m *moody) run(t *testing.T) {
	srv := &smtptest.Server{LMTP: m.IntN(5) == 0, Reply: m.reply, Extensions: []string{"SIZE 1000000"}}
	for _, e := range []string{"PIPELINING", "PIPELINING", "CHUNKING", "CHUNKING", "DSN", "SMTPUTF8", "8BITMIME", "LIMITS RCPTMAX=2", "LIMITS MAILMAX=3"} {
		if m.IntN(2) == 0 {
			srv.Extensions = append(srv.Extensions, e)
		}
	}
	defer srv.Close()
	s, err := smtpclient.Dial(t.Context(), "192.0.2.1:25", &smtpclient.Options{Dial: srv.Dial, LMTP: srv.LMTP})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := 0; s.Reusable() && n < 4; n++ {
		if m.IntN(2) == 0 {
			m.sendAll(t, srv, s, n)
		} else {
			e := m.envelope(fmt.Sprint(n))
			results, err := s.Send(t.Context(), e, m.body())
			synctest.Wait()
			m.compare(t, srv, e, results)
			if err != nil && s.Reusable() {
				t.Error("a lost session is reusable")
			}
		}
		time.Sleep(time.Duration(m.IntN(2)) * time.Minute)
	}
}

func (m *moody) sendAll(t *testing.T, srv *smtptest.Server, s *smtpclient.Session, n int) {
	var sent []*smtpclient.Envelope
	var all [][]smtpclient.Result
	messages := func(yield func(*smtpclient.Envelope, io.Reader) bool) {
		for i := range m.IntN(40) {
			e := m.envelope(fmt.Sprintf("%d-%d", n, i))
			sent = append(sent, e)
			if !yield(e, m.body()) {
				return
			}
		}
	}
	lost := false
	for results, err := range s.SendAll(t.Context(), messages) {
		all = append(all, results)
		if lost && err == nil {
			t.Error("a lost session goes on")
		}
		lost = err != nil
	}
	synctest.Wait()
	if len(all) != len(sent) {
		t.Fatalf("%d of %d messages have results", len(all), len(sent))
	}
	for i, e := range sent {
		m.compare(t, srv, e, all[i])
	}
}

func (m *moody) envelope(name string) *smtpclient.Envelope {
	e := &smtpclient.Envelope{From: "sender@example.com", Mail: smtp.MailOptions{Size: 1000, Return: smtp.DSNReturnFull}}
	for i := range 1 + m.IntN(5) {
		local := []string{"to", "tö"}[m.IntN(8)/7]
		e.To = append(e.To, smtpclient.Recipient{Address: fmt.Sprintf("%s-%s-%d@example.org", local, name, i)})
		e.To[i].Rcpt.Notify = []smtp.DSNNotify{smtp.DSNNotifyFailure}
	}
	return e
}

func (m *moody) body() io.Reader {
	switch m.IntN(12) {
	case 0:
		return strings.NewReader(large)
	case 1:
		return io.MultiReader(strings.NewReader(large))
	}
	return strings.NewReader(hello)
}

func (m *moody) reply(c smtptest.Command) string {
	refusals := []string{
		"450 4.2.0 later", "550 5.1.1 no", "452 4.5.3 too many", "552 5.3.4 too large", "502 5.5.1 what?", "503 5.5.1 out of order",
		"555 5.5.4 no such parameter", "501 syntax", "451 4.4.2 timeout", "421 4.3.2 bye", "550 5.7.1 bye" + smtptest.Close,
		smtptest.Close, smtptest.Stall, "354 what?",
	}
	switch c.Verb {
	case "MAIL", "RCPT", "BDAT", ".":
	case "DATA", "RSET":
		refusals = refusals[:len(refusals)-1] // 354 makes sense there, or none at all
	default:
		return ""
	}
	if m.mood.IntN(m.calm) > 0 {
		return ""
	}
	return refusals[m.mood.IntN(len(refusals))]
}

func (m *moody) compare(t *testing.T, srv *smtptest.Server, e *smtpclient.Envelope, results []smtpclient.Result) {
	t.Helper()
	for i, r := range results {
		has := 0
		for _, message := range srv.Messages() {
			for _, to := range message.To {
				if to.Address == e.To[i].Address {
					has++
				}
			}
		}
		switch {
		case r.Phase == "":
			t.Errorf("%s: nothing is decided", e.To[i].Address)
		case r.Err == nil && has != 1, r.Err != nil && r.Err.Uncertain && has > 1, r.Err != nil && !r.Err.Uncertain && has > 0:
			t.Errorf("%s: %s, and the server has it %d times", e.To[i].Address, outcome(r), has)
		}
	}
}
