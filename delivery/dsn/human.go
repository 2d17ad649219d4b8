package dsn

import (
	"bytes"
	"fmt"
	"strings"
)

// subject is the caller's, or names what matters most in the report.
func (r *Report) subject() string {
	if s := words(r.Subject); s != "" {
		return s
	}
	for _, a := range actions {
		if !r.has(a) {
			continue
		}
		switch a {
		case Failed:
			return "Your message could not be delivered"
		case Delayed:
			return "Your message is delayed"
		case Delivered:
			return "Your message was delivered"
		}
	}
	return "Your message was passed on"
}

func (r *Report) has(a Action) bool {
	for i := range r.Recipients {
		if r.Recipients[i].Action == a {
			return true
		}
	}
	return false
}

// humanPart is what people read.
func (r *Report) humanPart() part {
	var b bytes.Buffer
	if strings.TrimSpace(r.Text) != "" {
		prose(&b, r.Text)
		return part{contentType: humanType, content: b.Bytes()}
	}
	paragraph(&b, "", "This is an automatic message from the mail system at "+words(r.ReportingMTA)+".")
	for _, a := range actions {
		if r.has(a) {
			r.section(&b, a)
		}
	}
	b.WriteString("\r\n")
	last := "The details are attached."
	switch {
	case r.Original != nil:
		last = "The details and your message are attached."
	case len(r.OriginalHeader) > 0:
		last = "The details and the header of your message are attached."
	}
	paragraph(&b, "", last)
	return part{contentType: humanType, content: b.Bytes()}
}

const humanType = "text/plain; charset=utf-8"

// section tells of all recipients with the same action.
func (r *Report) section(b *bytes.Buffer, a Action) {
	before, after := "", ""
	switch a {
	case Failed:
		before, after = "could not be delivered to:", "It will not be tried again."
	case Delayed:
		before, after = "has not yet been delivered to:", "It is still being tried. There is nothing you need to do."
	case Delivered:
		before = "was delivered to:"
	case Relayed:
		before = "was passed on to a server that does not report deliveries, for:"
	case Expanded:
		before = "was passed on to the members of:"
	}
	when := ""
	if !r.ArrivalDate.IsZero() {
		when = r.ArrivalDate.Format(" of 2 January 2006, 15:04 MST,")
	}
	b.WriteString("\r\n")
	paragraph(b, "", "Your message"+when+" "+before)
	for i := range r.Recipients {
		if p := &r.Recipients[i]; p.Action == a {
			b.WriteString("\r\n")
			p.tell(b)
		}
	}
	if after != "" {
		b.WriteString("\r\n")
		paragraph(b, "", after)
	}
}

// tell names the recipient and says why.
func (p *Recipient) tell(b *bytes.Buffer) {
	name := clean(p.Final)
	if _, original, _ := strings.Cut(clean(p.Original), ";"); original != "" && !strings.EqualFold(strings.TrimSpace(original), name) {
		name = strings.TrimSpace(original) + " (that is, " + name + ")"
	}
	paragraph(b, "  ", name)
	if p.Action != Failed && p.Action != Delayed {
		return
	}
	why := words(p.Reason)
	if why == "" {
		why = explain(p.statusOr())
	}
	said := p.Diagnostic.String()
	switch {
	case said == "":
	case p.Diagnostic.Code == 0:
		why += " What happened:"
	case p.RemoteMTA == "":
		why += " The mail server said:"
	default:
		why += " The server " + words(p.RemoteMTA) + " said:"
	}
	paragraph(b, "    ", why)
	if said != "" {
		paragraph(b, "      ", said)
	}
	if p.Action == Delayed && !p.WillRetryUntil.IsZero() {
		paragraph(b, "    ", fmt.Sprintf("It is tried until %s.", p.WillRetryUntil.Format("2 January 2006, 15:04 MST")))
	}
}

// explain says in a sentence what an RFC 3463 status means.
func explain(status string) string {
	class, detail, _ := strings.Cut(status, ".")
	switch detail {
	case "1.1", "1.6":
		return "There is no such mailbox."
	case "1.2", "1.10":
		return "The domain does not exist or takes no mail."
	case "1.3":
		return "The address is not well formed."
	case "2.1":
		return "The mailbox is switched off."
	case "2.2":
		return "The mailbox is full."
	case "2.3", "3.4":
		return "The message is too large."
	case "4.1", "4.2", "4.3", "4.4":
		return "The recipient's mail server could not be reached."
	case "4.7":
		return "The recipient's mail server did not take it in time."
	case "6.7", "6.9":
		return "The recipient's mail server does not support addresses like this one."
	}
	switch {
	case strings.HasPrefix(detail, "7."):
		return "The recipient's mail system does not allow it."
	case class == "4":
		return "The recipient's mail system could not take it yet."
	}
	return "The recipient's mail system did not take it."
}
