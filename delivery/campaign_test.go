package delivery_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/dsn"
	"github.com/postroad/postroad/delivery/reversepath"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

var campaignRecipients = flag.Int("campaign.recipients", 2_000, "to how many recipients TestCampaign sends")

// A campaign is one message with a reverse-path for each recipient: it is stored once, goes out over connections that are kept,
// and tells of each failure at the address of whom it failed for.
func TestCampaign(t *testing.T) {
	recipients := *campaignRecipients
	const (
		text      = 5_000 // octets of the message
		domains   = 100
		oneInBad  = 100
		jobOnDisk = 1_500 // octets that a job takes in the file, with its indexes and the pages' free room
	)
	server := smtptest.NewServer(func(c smtptest.Command) string {
		if c.Verb == "RCPT" && strings.HasPrefix(c.Address, "nobody") {
			return "550 5.1.1 no such user"
		}
		return ""
	})
	defer server.Close()
	relay, err := mx.ParseRelay("smtp://" + server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "mail.db")
	q, err := boltqueue.Open(file, boltqueue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	sender, err := delivery.New(q, delivery.Config{Hostname: "news.example", Router: relay})
	if err != nil {
		t.Fatal(err)
	}
	bounces, err := reversepath.New(reversepath.Options{Address: "bounces@news.example", Keys: [][]byte{[]byte("16 random octets")}})
	if err != nil {
		t.Fatal(err)
	}

	m := delivery.Message{Body: strings.NewReader("From: news@news.example\r\n\r\n" + strings.Repeat("No news today.\r\n", text/16))}
	for i := range recipients {
		address := fmt.Sprintf("reader%d@site%d.example", i, i%domains)
		if i%oneInBad == 0 {
			address = "nobody" + address
		}
		m.To = append(m.To, delivery.Recipient{Address: address, From: bounces.For(address, time.Now())})
	}
	receipt, err := sender.Enqueue(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if most := int64(1<<20 + recipients*jobOnDisk); info.Size() > most {
		t.Errorf("the queue has %d octets, more than %d: as if the body were stored more than once", info.Size(), most)
	}

	stop := running(t, sender)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	messages, err := server.Wait(ctx, recipients) // those who fail have a report in place of the message
	stop()
	if err != nil {
		t.Fatalf("%d messages have come: %v", len(messages), err)
	}
	wantCampaign(t, bounces, messages, recipients, recipients/oneInBad)
	if total, _, _ := server.Connections(); total > recipients/5 {
		t.Errorf("%d connections for %d messages", total, recipients)
	}
	if _, err := q.Open(context.Background(), receipt.ID); err == nil {
		t.Error("the body is still there")
	}
}

// running runs sender until the returned function is called.
func running(t *testing.T, sender *delivery.Sender) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sender.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// wantCampaign checks what a server has got: one message for each recipient who exists, from the reverse-path that names it, and
// one report for each other, to theirs.
func wantCampaign(t *testing.T, bounces *reversepath.Mailbox, messages []smtptest.Message, recipients, bad int) {
	t.Helper()
	var body []byte
	got, reported := make(map[string]bool), make(map[string]bool)
	for _, m := range messages {
		if len(m.To) != 1 {
			t.Fatalf("a message to %v", m.To)
		}
		to := m.To[0].Address
		if m.From == "" {
			r, err := dsn.Parse(bytes.NewReader(m.Data))
			if err != nil || len(r.Recipients) != 1 {
				t.Fatalf("the report to %s is %+v, %v", to, r, err)
			}
			about := r.Recipients[0].Final
			wantNamed(t, bounces, to, about)
			reported[about] = true
			continue
		}
		wantNamed(t, bounces, m.From, to)
		got[to] = true
		if body == nil {
			body = m.Data
		}
		if !bytes.Equal(m.Data, body) {
			t.Fatalf("the message to %s isn't that of the others", to)
		}
	}
	if len(got) != recipients-bad || len(reported) != bad || len(messages) != recipients {
		t.Errorf("%d messages: %d recipients have one, of %d there is a report", len(messages), len(got), len(reported))
	}
}

func wantNamed(t *testing.T, bounces *reversepath.Mailbox, reversePath, name string) {
	t.Helper()
	if back, err := bounces.Parse(reversePath, time.Now()); err != nil || back.Name != name {
		t.Fatalf("%s, not %s, is named by %s: %v", back.Name, name, reversePath, err)
	}
}

// A campaign that is enqueued again, perhaps on another day, so that its reverse-paths are signed anew, is the same campaign.
func TestCampaignIsEnqueuedOnce(t *testing.T) {
	s, q := newSender(t, delivery.Config{})
	for day := range 2 {
		receipt, err := s.Enqueue(t.Context(), delivery.Message{
			Key: "news", Body: strings.NewReader("Subject: news\r\n\r\n"),
			To: []delivery.Recipient{{Address: "ann@a.example", From: fmt.Sprintf("bounces+ann%d@news.example", day)}},
		})
		if err != nil || receipt.Duplicate != (day > 0) {
			t.Errorf("on day %d: %+v, %v", day, receipt, err)
		}
	}
	if n := count(t, q); n != 1 {
		t.Errorf("%d jobs are stored", n)
	}
}

// More recipients of their own reverse-path than an entry can have jobs are refused, before anything is stored.
func TestCampaignHasALimit(t *testing.T) {
	m := delivery.Message{To: make([]delivery.Recipient, queue.MaxJobs+1)}
	for i := range m.To {
		m.To[i] = delivery.Recipient{Address: "ann@a.example", From: fmt.Sprintf("bounces+%d@news.example", i)}
	}
	wantRefused(t, delivery.Config{}, m, "Message")
}
