package dsn

import (
	"bytes"
	"regexp"
	"time"
)

var statusForm = regexp.MustCompile(`\b[245]\.[0-9]{1,3}\.[0-9]{1,3}\b`)

// statusPart is what machines read (RFC 3464, section 2). It is message/delivery-status, in ASCII, unless an address
// has UTF-8 (RFC 6533, section 3).
func (r *Report) statusPart() part {
	w := statusWriter{global: r.global()}
	w.typed("Reporting-MTA", "dns", r.ReportingMTA)
	w.field("Original-Envelope-Id", clean(r.OriginalEnvelopeID))
	w.date("Arrival-Date", r.ArrivalDate)
	for i := range r.Recipients {
		w.b.WriteString("\r\n")
		w.recipient(&r.Recipients[i])
	}
	p := part{contentType: "message/delivery-status", description: "Details for mail programs", content: w.b.Bytes()}
	if w.global {
		p.contentType = "message/global-delivery-status"
	}
	return p
}

// global reports whether an address needs UTF-8.
func (r *Report) global() bool {
	for i := range r.Recipients {
		if p := &r.Recipients[i]; !isASCII(p.Final) || !isASCII(p.Original) {
			return true
		}
	}
	return false
}

// statusOr is the recipient's status or what its action says.
func (p *Recipient) statusOr() string {
	if s := statusForm.FindString(p.Status); s != "" && s == p.Status {
		return s
	}
	switch p.Action {
	case Failed:
		return "5.0.0"
	case Delayed:
		return "4.0.0"
	}
	return "2.0.0"
}

type statusWriter struct {
	b      bytes.Buffer
	global bool
}

func (w *statusWriter) recipient(p *Recipient) {
	w.field("Original-Recipient", clean(p.Original))
	kind := "rfc822"
	if !isASCII(p.Final) {
		kind = "utf-8"
	}
	w.typed("Final-Recipient", kind, p.Final)
	w.field("Action", string(p.Action))
	w.field("Status", p.statusOr())
	w.typed("Remote-MTA", "dns", p.RemoteMTA)
	kind = "smtp"
	if p.Diagnostic.Code == 0 {
		kind = "x-postroad"
	}
	w.typed("Diagnostic-Code", kind, words(p.Diagnostic.String()))
	w.date("Last-Attempt-Date", p.LastAttempt)
	w.date("Will-Retry-Until", p.WillRetryUntil)
}

func (w *statusWriter) date(name string, t time.Time) {
	if !t.IsZero() {
		w.field(name, t.Format(time.RFC1123Z))
	}
}

func (w *statusWriter) typed(name, kind, value string) {
	if value = clean(value); value != "" {
		w.field(name, kind+"; "+value)
	}
}

// field writes a field whose value is clean, folded where it has spaces.
func (w *statusWriter) field(name, value string) {
	if value == "" {
		return
	}
	if !w.global {
		value = ascii(value)
	}
	w.b.WriteString(name + ": ")
	wrap(&w.b, value, " ", len(name)+2)
}
