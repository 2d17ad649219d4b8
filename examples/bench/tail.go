package main

import (
	"bytes"
	"strconv"
	"strings"
)

// tail is the end of a message. Its last line has the message's number, so that one that was cut off is not counted.
type tail []byte

// numberMark begins the last line of each message.
const numberMark = "Message number "

const tailSize = 64

func (t *tail) add(piece []byte) {
	if len(piece) >= tailSize {
		*t = append((*t)[:0], piece[len(piece)-tailSize:]...)
		return
	}
	if spare := len(*t) + len(piece) - tailSize; spare > 0 {
		*t = (*t)[:copy(*t, (*t)[spare:])]
	}
	*t = append(*t, piece...)
}

// number is what the last line says, -1 if it doesn't.
func (t tail) number() int {
	i := bytes.LastIndex(t, []byte("\n"+numberMark))
	if i < 0 {
		return -1
	}
	digits, ended := strings.CutSuffix(string(t[i+1+len(numberMark):]), "\r\n")
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || !ended {
		return -1
	}
	return int(n)
}
