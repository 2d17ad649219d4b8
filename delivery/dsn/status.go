package dsn

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

var statusForm = regexp.MustCompile(`\b[245]\.[0-9]{1,3}\.[0-9]{1,3}\b`)

// statusPart is what machines read (RFC 3464, section 2). It is message/delivery-status, in ASCII, unless an address
// has UTF-8 (RFC 6533, section 3).
func (r *Report) statusPart() part {
	w := statusWriter{global: r.global()}
	w.host("Reporting-MTA", r.ReportingMTA)
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
	w.original(p.Original)
	kind := "rfc822"
	if !isASCII(p.Final) {
		kind = "utf-8"
	}
	w.typed("Final-Recipient", kind, w.address(kind, p.Final))
	w.field("Action", string(p.Action))
	w.field("Status", p.statusOr())
	w.host("Remote-MTA", p.RemoteMTA)
	kind = "smtp"
	if p.Diagnostic.Code == 0 {
		kind = "x-postroad"
	}
	w.typed("Diagnostic-Code", kind, p.Diagnostic.String())
	w.date("Last-Attempt-Date", p.LastAttempt)
	if p.Action == Delayed {
		w.date("Will-Retry-Until", p.WillRetryUntil)
	}
}

// original writes an address as ORCPT gave it. One without a type has what ORCPT is then taken for.
func (w *statusWriter) original(s string) {
	kind, address, found := strings.Cut(clean(s), ";")
	if !found {
		kind, address = "rfc822", kind
	}
	w.typed("Original-Recipient", clean(kind), w.address(kind, address))
}

// address is an address as its type has it. Among ASCII one of the type utf-8 is utf-8-addr-xtext; else it is as it is,
// unless it could be taken for that (RFC 6533, section 3).
func (w *statusWriter) address(kind, s string) string {
	if s = clean(s); !strings.EqualFold(kind, "utf-8") || w.global && !strings.Contains(s, `\`) {
		return s
	}
	return special.ReplaceAllStringFunc(s, func(c string) string { return fmt.Sprintf(`\x{%02X}`, c[0]) })
}

var special = regexp.MustCompile(`[ +=\\]`)

// host writes the name of a host. The type "dns" has domain names and, in brackets, addresses (RFC 3461, section 9.3); a name
// without a dot is none that the DNS knows.
func (w *statusWriter) host(field, name string) {
	name = ascii(clean(name))
	if addr, err := netip.ParseAddr(name); err == nil && addr.Is4() {
		name = "[" + name + "]"
	} else if err == nil {
		name = "[IPv6:" + name + "]"
	}
	kind := "dns"
	if !strings.ContainsAny(name, ".[") {
		kind = "x-local-hostname"
	}
	w.typed(field, kind, name)
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
