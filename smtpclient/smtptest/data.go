package smtptest

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

func (v *conversation) data(c Command) bool {
	own := "354 go ahead"
	if !v.mail || len(v.m.To) == 0 {
		own = "503 5.5.1 no valid recipients"
	}
	class, ok := v.reply(c, own)
	if !ok || class != '3' {
		return ok
	}
	if v.w.Flush() != nil {
		return false
	}
	data, err := readData(v.r)
	if err != nil {
		return false
	}
	v.m.Data = data
	return v.end()
}

// end answers the end of a message: once, or, in LMTP, once for each recipient, and keeps it for those whose answer is good.
func (v *conversation) end() bool {
	own := fmt.Sprintf("250 2.0.0 taken, %d octets", len(v.m.Data))
	if !v.s.LMTP {
		class, ok := v.reply(Command{Verb: "."}, own)
		if class == '2' {
			v.s.keep(v.m)
		}
		v.reset()
		return ok
	}
	m := v.m
	m.To = nil
	ok := true
	for _, r := range v.m.To {
		var class byte
		if class, ok = v.reply(Command{Verb: ".", Address: r.Address}, own); class == '2' {
			m.To = append(m.To, r)
		}
		if !ok {
			break
		}
	}
	if len(m.To) > 0 {
		v.s.keep(m)
	}
	v.reset()
	return ok
}

// bdat takes a chunk. Its octets come whether it is wanted or not.
func (v *conversation) bdat(c Command) bool {
	number, last, _ := strings.Cut(c.Arg, " ")
	size, err := strconv.Atoi(number)
	if err != nil || size < 0 || len(v.m.Data)+size > maxData || last != "" && !strings.EqualFold(last, "LAST") {
		v.reply(c, "501 5.5.4 syntax") // and nobody knows where the next command begins
		return false
	}
	chunk := make([]byte, size)
	if _, err := io.ReadFull(v.r, chunk); err != nil {
		return false
	}
	own := fmt.Sprintf("250 2.0.0 %d octets", size)
	switch {
	case !slices.Contains(v.s.Extensions, "CHUNKING"):
		own = "502 5.5.1 not implemented"
	case v.bad || !v.mail || len(v.m.To) == 0:
		own = "503 5.5.1 no valid recipients"
	}
	answer := cmp.Or(v.ask(c), own)
	if v.bad = v.bad || answer[0] != '2'; !v.bad {
		v.m.Data = append(v.m.Data, chunk...)
		if last != "" {
			return v.end()
		}
	}
	_, ok := v.say(answer)
	return ok
}

// readData reads up to the line that is a dot alone. Only CRLF ends a line.
func readData(r *bufio.Reader) ([]byte, error) {
	var data []byte
	start := 0 // of the line
	for {
		part, err := r.ReadSlice('\n')
		data = append(data, part...)
		if len(data) > maxData {
			return nil, errors.New("too much data")
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return nil, err
		}
		line := data[start:]
		if !bytes.HasSuffix(line, []byte("\r\n")) {
			continue
		}
		if line[0] == '.' {
			if len(line) == 3 {
				return data[:start], nil
			}
			data = append(data[:start], line[1:]...)
		}
		start = len(data)
	}
}
