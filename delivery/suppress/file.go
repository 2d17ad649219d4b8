package suppress

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/queue"
)

// columns are those of a file, in the order in which Export writes them.
var columns = []string{"address", "tenant", "reason", "added", "expires", "text"}

// maxLine bounds a line of a file, in octets.
const maxLine = 16 << 10

// Export writes the entries in force as CSV (RFC 4180), with a header: address, tenant, reason, added, expires, text. Times are as in
// RFC 3339. It is read again by [List.Import].
func (l *List) Export(ctx context.Context, w io.Writer) error {
	out := csv.NewWriter(w)
	out.Write(columns) // what is wrong comes with Flush
	for e, err := range l.All(ctx) {
		if err != nil {
			return err
		}
		if err := out.Write(e.record()); err != nil {
			return fmt.Errorf("suppress: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("suppress: %w", err)
	}
	return nil
}

// record is the entry's line in a file.
func (e *Entry) record() []string {
	address := e.Address
	if local, domain, _ := strings.Cut(address, "@"); strings.ContainsAny(local[:1], "#=+-") {
		address = `"` + local + `"@` + domain // the same, and neither a comment nor what a spreadsheet takes for a formula
	}
	expires := ""
	if !e.Expires.IsZero() {
		expires = e.Expires.Format(time.RFC3339)
	}
	return []string{address, e.Tenant, string(e.Reason), e.Added.Format(time.RFC3339), expires, e.Text}
}

// Import adds the entries of a file, in place of those that there are for the same addresses, and returns how many it has
// added. The file is UTF-8, with one record of CSV on a line. If the first one has a field "address", it is the header and says
// which columns there are, of those that [List.Export] writes, in any order; else they are those. What is left out at the end of a
// record is empty, so that a plain list of addresses is such a file. A time may be a date alone. Lines that begin with "#",
// and empty ones, are passed over; one has 16 KiB at most.
//
// It is read as a stream. Reading ends at the first line that makes no sense, with an error that names it and wraps
// queue.ErrInvalid; what stands before it has been added, and the file may be imported again when it has been put right.
func (l *List) Import(ctx context.Context, r io.Reader) (n int, err error) {
	w := newWriters(ctx)
	err = readFile(r, time.Now(), func(e *Entry) bool {
		return w.write(e.key(), func(ctx context.Context) error { return l.add(ctx, e) })
	})
	n, failed := w.wait()
	return n, errors.Join(err, failed)
}

// readFile calls f for each entry of a file, as long as f returns true.
func readFile(r io.Reader, now time.Time, f func(*Entry) bool) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	number, order := 0, []string(nil)
	wrong := func(err error) error { return fmt.Errorf("suppress: line %d: %w", number+1, err) }
	for parser := newParser(); lines.Scan(); number++ {
		line := strings.TrimPrefix(lines.Text(), "\ufeff") // with which some programs begin a file
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		record, err := parser.parse(line)
		if err != nil {
			return wrong(err)
		}
		if order == nil {
			if order, err = header(record); err != nil {
				return wrong(err)
			}
			if order != nil {
				continue
			}
			order = columns
		}
		e, err := entry(order, record)
		if err == nil {
			e, err = e.checked(now)
		}
		if err != nil {
			return wrong(err)
		}
		if !f(&e) {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("%w: has more than %d octets", queue.ErrInvalid, maxLine)
		}
		return wrong(err)
	}
	return nil
}

// header returns the columns that a record names, nil if it isn't a header.
func header(record []string) ([]string, error) {
	var order []string
	for _, field := range record {
		order = append(order, strings.ToLower(strings.TrimSpace(field)))
	}
	if !slices.Contains(order, "address") {
		return nil, nil
	}
	for i, c := range order {
		if !slices.Contains(columns, c) || slices.Contains(order[:i], c) {
			return nil, fmt.Errorf("%w: column %.100q is unknown, or there twice", queue.ErrInvalid, c)
		}
	}
	return order, nil
}

// entry makes one of a record.
func entry(order, record []string) (e Entry, err error) {
	if len(record) > len(order) {
		return e, fmt.Errorf("%w: has %d fields, more than %d", queue.ErrInvalid, len(record), len(order))
	}
	for i, field := range record {
		switch order[i] {
		case "address":
			e.Address = strings.TrimSpace(field)
		case "tenant":
			e.Tenant = field
		case "reason":
			e.Reason = Reason(field)
		case "added":
			e.Added, err = parseTime(field)
		case "expires":
			e.Expires, err = parseTime(field)
		case "text":
			e.Text = field
		}
		if err != nil {
			return e, err
		}
	}
	return e, nil
}

// parseTime parses a time, or a date, or nothing.
func parseTime(s string) (t time.Time, err error) {
	if s = strings.TrimSpace(s); s == "" {
		return t, nil
	}
	if t, err = time.Parse(time.RFC3339, s); err != nil {
		if t, err = time.Parse(time.DateOnly, s); err != nil {
			return t, fmt.Errorf("%w: %.50q is neither a time such as 2026-11-02T10:30:00Z nor a date", queue.ErrInvalid, s)
		}
	}
	return t, nil
}

// parser parses lines of CSV.
type parser struct {
	line strings.Reader
	in   *bufio.Reader
}

func newParser() *parser { return &parser{in: bufio.NewReader(nil)} }

func (p *parser) parse(line string) ([]string, error) {
	p.line.Reset(line)
	p.in.Reset(&p.line)
	r := csv.NewReader(p.in) // which takes p.in as its own buffer
	r.TrimLeadingSpace = true
	record, err := r.Read()
	if err != nil {
		if e := new(csv.ParseError); errors.As(err, &e) {
			err = e.Err
		}
		return nil, fmt.Errorf("%w: %w", queue.ErrInvalid, err)
	}
	return record, nil
}
