package header

import "bytes"

// MaxLine is how many octets a line may have without its line end (RFC 5322, section 2.1.1); foldAt is how many it should have.
const (
	MaxLine = 998
	foldAt  = 78
)

// Fold appends line to out, both without a line end, with line ends put in before some of its white space: that is all that
// folding is (RFC 5322, section 2.2.3), so what the field says stays. A line has 78 octets then if it has white space in the right
// places, and ok says that it has no more than MaxLine.
func Fold(out, line []byte) (folded []byte, ok bool) {
	for len(line) > foldAt {
		at := foldPoint(line)
		if at < 0 {
			break
		}
		out = append(append(out, line[:at]...), "\r\n"...)
		line = line[at:]
	}
	return append(out, line...), len(line) <= MaxLine
}

// foldPoint is where to fold line: at the last white space of the first 78 octets, or else the first after them; -1 if there is
// none within MaxLine octets. No part of the line may be all white space, for which there is no sound syntax.
func foldPoint(line []byte) int {
	at := -1
	for i := 1; i < min(len(bytes.TrimRight(line, " \t")), MaxLine+1); i++ {
		if i > foldAt && at >= 0 {
			break
		}
		if blank(line[i]) && !blank(line[i-1]) {
			at = i
		}
	}
	return at
}

func blank(c byte) bool { return c == ' ' || c == '\t' }
