package smtpclient

import (
	"bufio"
	"bytes"
)

// dotWriter writes a [text] as the data of RFC 5321, section 4.5.2: a line that begins with a dot gets another one, and a dot
// alone on a line ends the data. Errors stay in w until it is flushed.
type dotWriter struct {
	w      *bufio.Writer
	inLine bool
}

// write writes a piece of the text.
func (d *dotWriter) write(p []byte) {
	for len(p) > 0 {
		if !d.inLine && p[0] == '.' {
			d.w.WriteByte('.')
		}
		line := p
		if i := bytes.Index(p, []byte("\n.")); i >= 0 {
			line = p[:i+1]
		}
		d.w.Write(line)
		d.inLine = line[len(line)-1] != '\n'
		p = p[len(line):]
	}
}

// end ends the data.
func (d *dotWriter) end() { d.w.WriteString(".\r\n") }
