package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery/dsn"
	"github.com/postroad/postroad/delivery/internal/address"
	"github.com/postroad/postroad/queue"
)

// What a report contains of the message it is about.
const (
	reportedHeader  = 64 << 10  // octets of its header section
	reportedMessage = 256 << 10 // octets of the whole, where the sender asked for RET=FULL and it is no larger
	readLimit       = time.Minute
)

// report is what one commit tells the sender of a job about the recipients that have failed.
type report struct {
	failed  []int // indexes of the recipients that end as bounced with this commit
	message *queue.Message
	job     queue.Job // for the sender
	body    []byte    // nil: nobody is to be told
}

// report composes the report that is due for j, if any, and marks its failed recipients as bounced. If it can't be composed, the
// recipients that it is for stay failed, and the error says why; once the message has expired it is composed of what there
// is, and if that is not enough, they end without one. The returned report is never nil.
func (r *run) report(j *queue.Job, now time.Time) (*report, error) {
	rep := &report{}
	var told []int
	for i := range j.Recipients {
		rcpt := &j.Recipients[i]
		if rcpt.State != queue.Failed {
			continue
		}
		if reportable(j, rcpt) {
			told = append(told, i)
			continue
		}
		rep.bounce(j, i)
	}
	if len(told) == 0 {
		return rep, nil
	}
	err := r.compose(rep, j, told, now)
	if err != nil {
		err = fmt.Errorf("delivery: composing a report: %w", err)
		if j.Message.Expires.After(now) {
			return rep, err
		}
	}
	for _, i := range told {
		rep.bounce(j, i)
	}
	return rep, err
}

func (rep *report) bounce(j *queue.Job, i int) {
	j.Recipients[i].State = queue.Bounced
	rep.failed = append(rep.failed, i)
}

// reportable reports whether somebody wants to hear of the recipient's failure. Reports have the null sender, so that there
// is never a report about one.
func reportable(j *queue.Job, rcpt *queue.Recipient) bool {
	return reversePath(j) != "" && (rcpt.Notify == 0 || rcpt.Notify&queue.NotifyFailure != 0)
}

// id is the report's message ID, "" if there is no report.
func (rep *report) id() queue.ID {
	if rep.body == nil {
		return ""
	}
	return rep.message.ID
}

// entries makes what is to be stored with the job, anew at each call.
func (rep *report) entries() []*queue.Entry {
	if rep.body == nil {
		return nil
	}
	return []*queue.Entry{{Message: *rep.message, Jobs: []*queue.Job{rep.job.Clone()}, Body: bytes.NewReader(rep.body)}}
}

// compose makes the report about the recipients at indexes told.
func (r *run) compose(rep *report, j *queue.Job, told []int, now time.Time) error {
	to, err := address.Parse(reversePath(j))
	if err != nil {
		return err
	}
	id := reportID(j, told)
	d := &dsn.Report{
		ReportingMTA:       r.config.Hostname,
		To:                 to.String(),
		Date:               now,
		MessageID:          fmt.Sprintf("<%s@%s>", id, r.config.Hostname),
		OriginalEnvelopeID: j.Message.EnvelopeID,
		ArrivalDate:        j.Message.Enqueued,
	}
	for _, i := range told {
		d.Recipients = append(d.Recipients, reported(j, i))
	}
	if err := r.attach(d, j); err != nil && j.Message.Expires.After(now) {
		return err
	}
	if rep.body, err = dsn.Compose(d); err != nil {
		return err
	}
	head, _, _ := bytes.Cut(rep.body, []byte("\r\n\r\n"))
	rep.message = &queue.Message{
		ID: id, Tenant: j.Message.Tenant, Digest: sha256.Sum256(rep.body), Enqueued: now, Expires: now.Add(r.config.Lifetime),
		UTF8: !isASCII(string(head)), EightBit: !isASCII(string(rep.body)),
	}
	if j.Message.TLS != queue.TLSOptional {
		rep.message.TLS = j.Message.TLS // what must not be seen in the message must not be seen in the report either
	}
	rep.job = queue.Job{Key: queue.Key{ID: id}, Domain: to.Domain, Due: now, Recipients: []queue.Recipient{{Address: to.String()}}}
	return nil
}

// reportID is the same for the same failure of the same recipients: a commit that is repeated doesn't report twice. The
// time is there for a message whose Key, and with it the ID, is used again after the queue has forgotten the first one.
func reportID(j *queue.Job, told []int) queue.ID {
	words := []string{"report", j.Key.String(), j.Message.Enqueued.UTC().Format(time.RFC3339Nano)}
	for _, i := range told {
		words = append(words, j.Recipients[i].Address)
	}
	return hashID(words...)
}

// reported is what a report says of one recipient.
func reported(j *queue.Job, i int) dsn.Recipient {
	rcpt := &j.Recipients[i]
	d := dsn.Recipient{
		Original:  rcpt.Original,
		Final:     rcpt.Address,
		Action:    dsn.Failed,
		Status:    status(rcpt),
		RemoteMTA: rcpt.Reply.Host,
		Reason:    rcpt.Reason,
	}
	if rcpt.Reply.Host != "" {
		d.Diagnostic = dsn.Diagnostic{Code: rcpt.Reply.Code, Enhanced: rcpt.Reply.Enhanced, Text: rcpt.Reply.Text}
	} else if d.Reason == "" {
		d.Reason = rcpt.Reply.Text // our own words: no host was asked
	}
	if rcpt.Uncertain {
		d.Reason = strings.TrimSpace(d.Reason + " It may have arrived all the same: a connection was lost before the answer came.")
	}
	if n := len(j.Attempts); n > 0 {
		d.LastAttempt = j.Attempts[n-1].Time
	}
	return d
}

// status is the enhanced code that a report gives as the reason (RFC 3463): the server's if it gave one, else the closest
// that fits. What was given up for lack of time is 4.4.7, delivery time expired, whatever was heard last.
func status(rcpt *queue.Recipient) string {
	switch {
	case rcpt.Reason != "":
		return "4.4.7"
	case rcpt.Reply.Enhanced != "" && strings.HasPrefix(rcpt.Reply.Enhanced, "5"):
		return rcpt.Reply.Enhanced
	}
	return "5.0.0"
}

// attach adds the original message, or its header section, to the report.
func (r *run) attach(d *dsn.Report, j *queue.Job) error {
	ctx, cancel := context.WithTimeout(r.hard, readLimit)
	defer cancel()
	body, err := r.queue.Open(ctx, j.Key.ID)
	if err != nil {
		return err
	}
	defer body.Close()
	full := j.Message.Return == queue.ReturnFull && j.Message.TLS != queue.RequireTLS && j.Message.Size <= reportedMessage
	limit := int64(reportedHeader)
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
	if full {
		d.Original = data
	} else {
		d.OriginalHeader = head
	}
	d.OriginalMessageID = originalMessageID(head)
	return nil
}

// originalMessageID returns the Message-ID of a header section, "" if it has none.
func originalMessageID(head []byte) string {
	m, err := mail.ReadMessage(bytes.NewReader(append(head[:len(head):len(head)], "\r\n"...)))
	if err != nil {
		return ""
	}
	return m.Header.Get("Message-ID")
}
