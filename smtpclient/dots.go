package smtpclient

import (
	"bytes"
	"io"
)

// dotWriter writes a body as the data of RFC 5321, section 4.5.2: a line that begins with a dot gets another one, and a dot
// alone on a line ends the data.
//
// A CR or an LF that stands alone leaves as CRLF. So there is nothing in the data that one server takes for the end of a line
// and another doesn't: no text can end the data early on a server that is lenient about line ends. A body that consists of
// CRLF lines arrives as it is.
type dotWriter struct {
	w      byteWriter
	inLine bool // something has been written since the last line end
	cr     bool // a CR is held back until what follows is known
}

type byteWriter interface {
	io.Writer
	io.ByteWriter
	io.StringWriter
}

func (d *dotWriter) Write(p []byte) (int, error) {
	size := len(p)
	for len(p) > 0 {
		if d.cr {
			if p[0] == '\n' {
				p = p[1:]
			}
			if err := d.endLine(); err != nil {
				return 0, err
			}
			continue
		}
		if !d.inLine && p[0] == '.' {
			if err := d.w.WriteByte('.'); err != nil {
				return 0, err
			}
		}
		text := p
		if i := bytes.IndexAny(p, "\r\n"); i >= 0 {
			text = p[:i]
		}
		d.inLine = d.inLine || len(text) > 0
		if _, err := d.w.Write(text); err != nil {
			return 0, err
		}
		p = p[len(text):]
		if len(p) == 0 {
			break
		}
		if p[0] == '\r' {
			d.cr = true
		} else if err := d.endLine(); err != nil {
			return 0, err
		}
		p = p[1:]
	}
	return size, nil
}

func (d *dotWriter) endLine() error {
	d.cr, d.inLine = false, false
	_, err := d.w.WriteString("\r\n")
	return err
}

// end ends the last line, if that is still to be done, and the data.
func (d *dotWriter) end() error {
	if d.cr || d.inLine {
		if err := d.endLine(); err != nil {
			return err
		}
	}
	_, err := d.w.WriteString(".\r\n")
	return err
}
