package reencode

// verbatim is a leaf that stays as it is.
type verbatim struct{}

func (verbatim) text(out, text []byte, long bool) ([]byte, error) {
	if long {
		return out, errTooLong
	}
	return append(out, text...), nil
}

func (verbatim) endLine(out []byte) []byte { return append(out, "\r\n"...) }

func (verbatim) end(out []byte, _ bool) []byte { return out }
