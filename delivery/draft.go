package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery/dsn"
	"github.com/postroad/postroad/delivery/internal/address"
	"github.com/postroad/postroad/delivery/internal/header"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient"
)

// What a report contains of the message it is about.
const (
	reportedHeader  = 64 << 10  // octets of its header section
	reportedMessage = 256 << 10 // octets of the whole, where the sender asked for RET=FULL and it is no larger
	readLimit       = time.Minute
)

// draft is a report in the making.
type draft struct {
	*queue.Job
	news  []news // failures first: there are readers that look no further than to whoever hasn't failed
	now   time.Time
	to    string
	whole bool // or not at all: it can wait until the message can be read, and the report signed
}

// compose makes the report. With an error there is none, or one without the message or a signature.
func (r *run) compose(rep *report, d *draft) error {
	to, err := address.Parse(d.to)
	if err != nil {
		return err
	}
	id := d.id()
	m := &dsn.Report{
		ReportingMTA:       r.config.Hostname,
		To:                 to.String(),
		Date:               d.now,
		MessageID:          fmt.Sprintf("<%s@%s>", id, r.config.Hostname),
		OriginalEnvelopeID: d.Message.EnvelopeID,
		ArrivalDate:        d.Message.Enqueued,
	}
	for _, n := range d.news {
		m.Recipients = append(m.Recipients, d.recipient(n))
	}
	lacks := r.attach(m, d)
	if lacks != nil && d.whole {
		return lacks
	}
	r.word(m, d)
	body, err := dsn.Compose(m)
	if err != nil {
		return errors.Join(err, lacks)
	}
	if body, err = r.signed(body); err != nil && d.whole {
		return err
	}
	lacks = errors.Join(lacks, err)
	head, _, _ := bytes.Cut(body, []byte("\r\n\r\n"))
	rep.message = &queue.Message{
		ID: id, Tenant: d.Message.Tenant, Digest: sha256.Sum256(body), Enqueued: d.now, Expires: d.now.Add(r.config.Lifetime),
		UTF8: !header.ASCII(head), EightBit: !header.ASCII(body),
	}
	if d.Message.TLS != queue.TLSOptional {
		rep.message.TLS = d.Message.TLS // what must not be seen in the message must not be seen in the report either
	}
	reader := queue.Recipient{Address: to.String()}
	if d.double() {
		reader.Notify = queue.NotifyNever
	}
	rep.job = &queue.Job{Key: queue.Key{ID: id}, Domain: to.Domain, Due: d.now, Recipients: []queue.Recipient{reader}}
	if err := rep.entry().Check(); err != nil {
		return errors.Join(err, lacks)
	}
	rep.body = body
	return lacks
}

// double reports whether the report is for the postmaster, because the message has no sender. Nobody hears of it if that report
// fails, too, which NOTIFY=NEVER says here and to every host on its way.
func (d *draft) double() bool { return reversePath(d.Job) == "" }

// id is the same for the same news after the same attempt: a commit that is repeated doesn't report twice. The time is there for
// a message whose Key, and with it the ID, is used again after the queue has forgotten the first one.
func (d *draft) id() queue.ID {
	words := []string{"report", d.Key.String(), d.Message.Enqueued.UTC().Format(time.RFC3339Nano), strconv.Itoa(d.Tries)}
	for _, n := range d.news {
		words = append(words, string(n.action), d.Recipients[n.index].Address)
	}
	return hashID(words...)
}

// recipient is what the report says of one recipient.
func (d *draft) recipient(n news) dsn.Recipient {
	rcpt := &d.Recipients[n.index]
	p := dsn.Recipient{
		Original:  rcpt.Original,
		Final:     rcpt.Address,
		Action:    n.action,
		Status:    status(rcpt),
		RemoteMTA: rcpt.Reply.Host,
		Reason:    rcpt.Reason,
	}
	if rcpt.Reply.Host != "" {
		p.Diagnostic = dsn.Diagnostic{Code: rcpt.Reply.Code, Enhanced: rcpt.Reply.Enhanced, Text: rcpt.Reply.Text}
	} else if p.Reason == "" {
		p.Reason = rcpt.Reply.Text // our own words: no host was asked
	}
	if rcpt.Uncertain {
		p.Reason = strings.TrimSpace(p.Reason + " It may have arrived all the same: a connection was lost before the answer came.")
	}
	if k := len(d.Attempts); k > 0 {
		p.LastAttempt = d.Attempts[k-1].Time
	}
	if n.action == dsn.Delayed {
		p.WillRetryUntil = d.Message.Expires
	}
	return p
}

// status is the RFC 3463 code that a report gives: that of the reply, if it agrees with it, or of what went wrong instead, also
// where time has run out: 4.4.7, delivery time expired, is for when there is no better one (RFC 3463, section 3.5). So a failure
// may be of class 4: what was given up may succeed when it is sent anew. "" leaves it to the action.
func status(rcpt *queue.Recipient) string {
	reply := &rcpt.Reply
	switch {
	case reply.Code != 0 && strings.HasPrefix(reply.Enhanced, strconv.Itoa(reply.Code/100)+"."):
		return reply.Enhanced
	case reply.Code == 0 && reply.Phase == string(smtpclient.PhaseConnect):
		return "4.4.1"
	case rcpt.State == queue.Failed && reply.Code/100 != 5 && rcpt.Reason != "":
		return "4.4.7"
	}
	return ""
}

// word has the host program say what people read, if it wants to.
func (r *run) word(m *dsn.Report, d *draft) {
	if r.config.ReportText == nil {
		return
	}
	shown := *m
	shown.Recipients = append([]dsn.Recipient(nil), m.Recipients...)
	err := guard(func() error { m.Subject, m.Text = r.config.ReportText(&shown); return nil })
	if err != nil {
		r.trouble(d.Key, err)
	}
}

// attach adds the original message, or its header section, to the report. The whole is for who has lost it: a sender who has
// asked for it, of a failure (RFC 3461, section 6.2), or the postmaster, who otherwise couldn't tell what it was.
func (r *run) attach(m *dsn.Report, d *draft) error {
	ctx, cancel := context.WithTimeout(r.hard, readLimit)
	defer cancel()
	body, err := r.queue.Open(ctx, d.Key.ID)
	if err != nil {
		return err
	}
	defer body.Close()
	full := d.news[0].action == dsn.Failed && (d.Message.Return == queue.ReturnFull || d.double()) &&
		d.Message.TLS != queue.RequireTLS && d.Message.Size <= reportedMessage
	limit := int64(reportedHeader) + 1 // so that it is seen whether that is all of it
	if full {
		limit = reportedMessage
	}
	data, err := io.ReadAll(io.LimitReader(body, limit))
	if err != nil {
		return err
	}
	head := data
	if end := bytes.Index(data, []byte("\r\n\r\n")); end >= 0 {
		head = data[:end+2]
	}
	m.OriginalHeader = head
	if full {
		m.Original = data
	}
	m.OriginalMessageID = originalMessageID(head)
	return nil
}

// originalMessageID returns the Message-ID of a header section, "" if it has none.
func originalMessageID(head []byte) string {
	for name, field := range header.Fields(head) {
		if header.Is(name, "Message-ID") {
			return header.Value(field)
		}
	}
	return ""
}
