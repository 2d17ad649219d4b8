package dsn

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"mime"
	"strings"
	"time"
	"unicode/utf8"
)

// Compose writes r as a message. The same report always gives the same octets. It needs SMTPUTF8 only if r.To or r.From
// does, and 8BITMIME if the result has octets above 127. Its errors name a field
// that is needed and empty or makes no sense.
func Compose(r *Report) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	parts := []part{r.humanPart(), r.statusPart()}
	if original, found := r.originalPart(); found {
		parts = append(parts, original)
	}
	boundary := boundaryFor(r.MessageID, parts)

	var b bytes.Buffer
	r.writeHeader(&b, boundary, parts)
	for _, p := range parts {
		fmt.Fprintf(&b, "\r\n--%s\r\nContent-Type: %s\r\n", boundary, p.contentType)
		if p.description != "" {
			fmt.Fprintf(&b, "Content-Description: %s\r\n", p.description)
		}
		if !isASCII(p.content) {
			b.WriteString("Content-Transfer-Encoding: 8bit\r\n")
		}
		b.WriteString("\r\n")
		b.Write(p.content)
	}
	fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	return b.Bytes(), nil
}

// part is a body part of the report.
type part struct {
	contentType string
	description string
	content     []byte // ends with CRLF
}

// boundaryFor makes a boundary that no part contains.
func boundaryFor(seed string, parts []part) string {
	h := sha256.New()
	h.Write([]byte(seed))
	for _, p := range parts {
		h.Write(p.content)
	}
	for n := 0; ; n++ {
		fmt.Fprint(h, n)
		boundary := fmt.Sprintf("=_%x", h.Sum(nil)[:16])
		found := false
		for _, p := range parts {
			found = found || bytes.Contains(p.content, []byte(boundary))
		}
		if !found {
			return boundary
		}
	}
}

func (r *Report) writeHeader(b *bytes.Buffer, boundary string, parts []part) {
	from := clean(r.From)
	if from == "" {
		from = "MAILER-DAEMON@" + ascii(clean(r.ReportingMTA))
	}
	fmt.Fprintf(b, "From: Mail Delivery System <%s>\r\n", mailbox(from))
	fmt.Fprintf(b, "To: <%s>\r\n", mailbox(clean(r.To)))
	b.WriteString("Subject: ")
	wrap(b, mime.QEncoding.Encode("utf-8", r.subject()), " ", len("Subject: "))
	fmt.Fprintf(b, "Date: %s\r\n", r.Date.Format(time.RFC1123Z))
	if isMessageID(r.MessageID) {
		fmt.Fprintf(b, "Message-ID: %s\r\n", r.MessageID)
	}
	if id := r.OriginalMessageID; isMessageID(id) {
		fmt.Fprintf(b, "In-Reply-To: %s\r\nReferences: %s\r\n", id, id)
	}
	b.WriteString("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n")
	fmt.Fprintf(b, "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n", boundary)
	for _, p := range parts {
		if !isASCII(p.content) {
			b.WriteString("Content-Transfer-Encoding: 8bit\r\n")
			return
		}
	}
}

// mailbox is an address for between angle brackets.
func mailbox(s string) string { return strings.NewReplacer("<", "", ">", "").Replace(s) }

// isMessageID reports whether s can stand in a field as it is.
func isMessageID(s string) bool {
	return len(s) > 2 && len(s) <= MaxText && s[0] == '<' && strings.IndexByte(s, '>') == len(s)-1 && isASCII(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// originalPart is the message reported on, or its header section, if there is one.
func (r *Report) originalPart() (part, bool) {
	p := part{contentType: "message/rfc822", description: "Your message"}
	text := r.Original
	global := "message/global"
	header, _, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	if text == nil {
		p = part{contentType: "text/rfc822-headers", description: "The header of your message"}
		text = cutHeader(r.OriginalHeader)
		global = "message/global-headers"
		header = text
	}
	if len(text) == 0 {
		return part{}, false
	}
	if !isASCII(header) && utf8.Valid(header) {
		p.contentType = global
	}
	var b bytes.Buffer
	lines(&b, text)
	p.content = b.Bytes()
	return p, true
}

// cutHeader returns whole fields of a header section, up to MaxHeader octets.
func cutHeader(h []byte) []byte {
	if len(h) <= MaxHeader {
		return h
	}
	for n := MaxHeader; n > 0; n-- {
		if h[n-1] == '\n' && h[n] != ' ' && h[n] != '\t' {
			return h[:n]
		}
	}
	return nil
}
