package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is messages for somebody to send.
type load struct {
	messages int
	size     int      // octets of each
	domains  []string // of the recipients, in turns
	callers  int      // who send at the same time
}

// domainNames makes n names of domains.
func domainNames(kind string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%05d.example", kind, i)
	}
	return names
}

func (l load) domain(number int) string { return l.domains[number%len(l.domains)] }

const (
	bounces     = "bench@sender.example"
	numberWidth = 10
)

// recipient is who gets a message.
func (l load) recipient(number int) string { return fmt.Sprintf("r%d@%s", number, l.domain(number)) }

// recipientNumber is the number of the message that an address of recipient gets, -1 if it isn't one.
func recipientNumber(address string) int {
	var n int
	if _, err := fmt.Sscanf(address, "r%d@", &n); err != nil {
		return -1
	}
	return n
}

// letter is a message that can be given any number, again and again.
type letter []byte

const letterHead = "From: Bench <" + bounces + ">\r\nTo: Somebody <somebody@example.com>\r\nSubject: One of many\r\n" +
	"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"

// minSize is the size of the smallest letter.
const minSize = len(letterHead) + len("\r\n") + len(numberMark) + numberWidth + len("\r\n")

// newLetter makes a letter of so many octets, at least minSize.
func newLetter(size int) letter {
	const line = "The quick brown fox jumps over the lazy dog, and the lazy dog lets it pass.\r\n"
	n := size - minSize
	text := []byte(strings.Repeat(line, n/len(line)+1)[:n])
	if n > 0 && text[n-1] == '\r' { // its LF was cut off
		text[n-1] = '.'
	}
	return slices.Concat(letter(letterHead), text, []byte("\r\n"+numberMark+strings.Repeat("0", numberWidth)+"\r\n"))
}

// setNumber makes it message n.
func (l letter) setNumber(n int) {
	digits := l[len(l)-2-numberWidth : len(l)-2]
	for i := range digits {
		digits[numberWidth-1-i] = byte('0' + n%10)
		n /= 10
	}
}

// timing is when each message was handed over, and how long that took.
type timing struct {
	called []time.Time
	took   []time.Duration
	ended  time.Time // when the last one had been handed over
}

// caller hands over messages, one after the other.
type caller interface {
	send(ctx context.Context, number int, text letter) error
	close()
}

// send has callers hand over the messages of l, from the first to the last. The first error ends it.
func (l load) send(ctx context.Context, newCaller func() (caller, error)) (*timing, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t := &timing{called: make([]time.Time, l.messages), took: make([]time.Duration, l.messages)}
	var next atomic.Int64
	var callers sync.WaitGroup
	for range min(l.callers, l.messages) {
		callers.Go(func() {
			c, err := newCaller()
			if err != nil {
				cancel(err)
				return
			}
			defer c.close()
			text := newLetter(l.size)
			for number := int(next.Add(1)) - 1; number < l.messages && ctx.Err() == nil; number = int(next.Add(1)) - 1 {
				text.setNumber(number)
				t.called[number] = time.Now()
				if err := c.send(ctx, number, text); err != nil {
					cancel(fmt.Errorf("message %d: %w", number, err))
					return
				}
				t.took[number] = time.Since(t.called[number])
			}
		})
	}
	callers.Wait()
	t.ended = time.Now()
	return t, context.Cause(ctx)
}
