package dsn

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Parse reads a delivery report. What it keeps is bounded, and is clean as Compose would write it; fields that are
// missing or make no sense are left zero. A message that isn't a report, or says nothing about any recipient, is
// [ErrNotReport]. Errors of rd are returned wrapped.
func Parse(rd io.Reader) (*Report, error) {
	src := &source{r: rd, left: MaxHeader}
	m, err := mail.ReadMessage(src)
	if err != nil {
		return nil, src.reason("has no header section that can be read", err)
	}
	src.left = maxReport
	kind, params, _ := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if kind != "multipart/report" || params["boundary"] == "" {
		return nil, fmt.Errorf("%w: Content-Type is not multipart/report", ErrNotReport)
	}
	r := &Report{
		From:              headerAddress(m.Header, "From"),
		To:                headerAddress(m.Header, "To"),
		MessageID:         firstID(m.Header.Get("Message-Id")),
		OriginalMessageID: firstID(m.Header.Get("In-Reply-To")),
	}
	r.Date, _ = m.Header.Date()
	if err := r.readParts(multipart.NewReader(m.Body, params["boundary"])); err != nil {
		return nil, src.reason("has a part that can't be read", err)
	}
	if len(r.Recipients) == 0 {
		return nil, fmt.Errorf("%w: it names no recipient", ErrNotReport)
	}
	return r, nil
}

// source bounds what is read, and tells trouble in reading from trouble in what was read.
type source struct {
	r    io.Reader
	left int
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, errors.New("is too large")
	}
	n, err := s.r.Read(p[:min(len(p), s.left)])
	s.left -= n
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

func (s *source) reason(what string, err error) error {
	if s.err != nil {
		return fmt.Errorf("dsn: %w", s.err)
	}
	return fmt.Errorf("%w: it %s: %.200q", ErrNotReport, what, err.Error())
}

// readParts reads the status and the returned header; what comes after them, or is broken after the status, isn't needed.
func (r *Report) readParts(parts *multipart.Reader) error {
	found := false
	for range maxParts {
		p, err := parts.NextPart()
		if err != nil {
			if err == io.EOF || found {
				return nil
			}
			return err
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		switch kind {
		case "message/delivery-status", "message/global-delivery-status":
			if found {
				continue
			}
			if err := r.readStatus(io.LimitReader(decoded(p), maxStatus)); err != nil {
				return err
			}
			found = true
		case "message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers", "message/global-headers":
			r.readOriginal(decoded(p))
			return nil
		}
	}
	return nil
}

// decoded undoes base64; multipart has undone quoted-printable.
func decoded(p *multipart.Part) io.Reader {
	if strings.EqualFold(strings.TrimSpace(p.Header.Get("Content-Transfer-Encoding")), "base64") {
		return base64.NewDecoder(base64.StdEncoding, p)
	}
	return p
}

// readOriginal keeps the header section, up to MaxHeader. One that breaks off is kept as far as it goes.
func (r *Report) readOriginal(rd io.Reader) {
	in := bufio.NewReader(io.LimitReader(rd, MaxHeader+1))
	var b bytes.Buffer
	for {
		line, err := in.ReadBytes('\n')
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		lines(&b, line)
		if err != nil {
			break
		}
	}
	r.OriginalHeader = cutHeader(b.Bytes())
	if r.OriginalMessageID == "" {
		if m, err := mail.ReadMessage(io.MultiReader(bytes.NewReader(r.OriginalHeader), strings.NewReader("\r\n"))); err == nil {
			r.OriginalMessageID = firstID(m.Header.Get("Message-Id"))
		}
	}
}

// readStatus reads groups of fields, which empty lines separate: one about the message, then one for each recipient.
func (r *Report) readStatus(rd io.Reader) error {
	in := bufio.NewReader(rd)
	group := fields{}
	name := "" // of the field that a continuation continues
	for {
		line, err := in.ReadSlice('\n')
		text := strings.TrimRight(string(line), "\r\n")
		if err == bufio.ErrBufferFull {
			err = skipLine(in)
		}
		if err != nil && err != io.EOF {
			return err
		}
		switch {
		case text == "":
			r.take(group)
			group, name = fields{}, ""
		case text[0] == ' ' || text[0] == '\t':
			group.add(name, text)
		default:
			var value string
			name, value, _ = strings.Cut(text, ":")
			name = strings.ToLower(strings.TrimSpace(name))
			if _, again := group[name]; again {
				name = ""
			}
			group.add(name, value)
		}
		if err == io.EOF {
			r.take(group)
			return nil
		}
	}
}

func skipLine(in *bufio.Reader) error {
	for {
		if _, err := in.ReadSlice('\n'); err != bufio.ErrBufferFull {
			return err
		}
	}
}

// fields are those of a group, by their names in lower case. Of fields with the same name the first one counts.
type fields map[string]string

// add appends to the field that a report may have by this name.
func (f fields) add(name, value string) {
	switch name {
	case "reporting-mta", "original-envelope-id", "arrival-date", "original-recipient", "final-recipient", "action", "status",
		"remote-mta", "diagnostic-code", "last-attempt-date", "will-retry-until":
		if len(f[name]) <= MaxText {
			f[name] += value
		}
	}
}

// take notes what a group says.
func (r *Report) take(f fields) {
	if _, found := f["reporting-mta"]; found && r.ReportingMTA == "" {
		_, r.ReportingMTA = f.typed("reporting-mta")
		r.OriginalEnvelopeID = clean(f["original-envelope-id"])
		r.ArrivalDate = f.date("arrival-date")
	}
	kind, final := f.typed("final-recipient")
	originalKind, original := f.typed("original-recipient")
	if final == "" {
		kind, final = originalKind, original
	}
	if final == "" || len(r.Recipients) == MaxRecipients {
		return
	}
	if kind == "utf-8" {
		final = clean(unxtext(final))
	}
	if originalKind == "utf-8" {
		original = clean(unxtext(original))
	}
	if originalKind != "" && original != "" {
		original = originalKind + ";" + original
	}
	p := Recipient{
		Original:       original,
		Final:          final,
		Action:         Action(f.word("action")),
		Status:         statusForm.FindString(f["status"]),
		Diagnostic:     f.diagnostic(),
		LastAttempt:    f.date("last-attempt-date"),
		WillRetryUntil: f.date("will-retry-until"),
	}
	_, p.RemoteMTA = f.typed("remote-mta")
	r.Recipients = append(r.Recipients, p)
}

// typed is the value of a field such as "rfc822; ann@example.com". A type that was left out is "".
func (f fields) typed(name string) (kind, value string) {
	kind, value, found := strings.Cut(f[name], ";")
	if !found {
		return "", clean(kind)
	}
	return strings.ToLower(strings.TrimSpace(kind)), clean(value)
}

func (f fields) word(name string) string {
	list := strings.Fields(words(f[name]))
	if len(list) == 0 {
		return ""
	}
	return strings.ToLower(list[0])
}

func (f fields) date(name string) time.Time {
	t, err := mail.ParseDate(words(f[name]))
	if err != nil {
		return time.Time{}
	}
	return t
}

var answer = regexp.MustCompile(`^([2-5][0-9]{2})(?:[ -]|$)(?:#?([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$))?(.*)$`)

func (f fields) diagnostic() Diagnostic {
	kind, value := f.typed("diagnostic-code")
	value = words(value)
	parts := answer.FindStringSubmatch(value)
	if parts == nil || kind != "smtp" {
		return Diagnostic{Text: value}
	}
	code, _ := strconv.Atoi(parts[1])
	return Diagnostic{Code: code, Enhanced: parts[2], Text: strings.TrimSpace(parts[3])}
}

var escape = regexp.MustCompile(`\\x\{([0-9A-F]{2,6})\}`)

// unxtext decodes the "\x{...}" of utf-8-addr-xtext (RFC 6533, section 3).
func unxtext(s string) string {
	return escape.ReplaceAllStringFunc(s, func(e string) string {
		n, err := strconv.ParseUint(e[3:len(e)-1], 16, 32)
		if err != nil {
			return e
		}
		return string(rune(n))
	})
}

func headerAddress(h mail.Header, name string) string {
	a, err := mail.ParseAddress(h.Get(name))
	if err != nil {
		return ""
	}
	a.Name = ""
	return clean(strings.TrimSuffix(strings.TrimPrefix(a.String(), "<"), ">")) // with the quotes that Address lacks
}

// firstID is the first message identifier in s, "" if its form isn't sane.
func firstID(s string) string {
	_, s, found := strings.Cut(s, "<")
	id, _, closed := strings.Cut(s, ">")
	if id = "<" + id + ">"; found && closed && isMessageID(id) {
		return id
	}
	return ""
}
