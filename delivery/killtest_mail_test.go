package delivery_test

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/postroad/postroad/delivery"
)

// killHome is the domain that the mail of the kill test comes from, and that reports go to.
const killHome = "home.example"

// killMail is a message of the kill test. All of it follows from two numbers, so that the process that sends it and the one
// that checks it make the same of them.
type killMail struct {
	life, n int // the n-th message of a life
}

// name is part of every address of the message, which makes each of them unique.
func (m killMail) name() string { return fmt.Sprintf("%d-%d", m.life, m.n) }

func (m killMail) from() string { return "sender." + m.name() + "@" + killHome }

// to returns recipients of all kinds: what the word before the dot says is how the server treats them.
func (m killMail) to() (to []string) {
	random := rand.New(rand.NewPCG(uint64(m.life), uint64(m.n)))
	for _, domain := range []string{"a.example", "b.example"} {
		for _, kind := range []string{"good", "fine", "grey", "bad", "gone"} {
			if random.IntN(3) == 0 {
				to = append(to, kind+"."+m.name()+"@"+domain)
			}
		}
	}
	if len(to) == 0 {
		to = append(to, "good."+m.name()+"@a.example")
	}
	return to
}

// head returns the fields that the message is sent with.
func (m killMail) head() string { return "Subject: message " + m.name() + "\r\n" }

// body returns lines that all differ, some with dots to double. Now and then there are so many of them that the queue writes
// them ahead of the message.
func (m killMail) body() string {
	random := rand.New(rand.NewPCG(uint64(m.n), uint64(m.life)))
	size := random.IntN(4000)
	if random.IntN(30) == 0 {
		size += 300 << 10
	}
	var b strings.Builder
	for line := 0; b.Len() < size; line++ {
		fmt.Fprintf(&b, "%s%d of %s %s\r\n", strings.Repeat(".", random.IntN(3)), line, m.name(), strings.Repeat("é", random.IntN(40)))
	}
	return b.String()
}

func (m killMail) message() delivery.Message {
	return delivery.Message{From: m.from(), To: delivery.To(m.to()...), Body: strings.NewReader(m.head() + "\r\n" + m.body())}
}

// killMailOf returns the message that an address belongs to, and what kind of an address it is.
func killMailOf(address string) (kind string, m killMail) {
	local, _, _ := strings.Cut(address, "@")
	kind, name, _ := strings.Cut(local, ".")
	if _, err := fmt.Sscanf(name, "%d-%d", &m.life, &m.n); err != nil {
		return "unknown", m
	}
	return kind, m
}

// refused reports whether the servers refuse an address for ever.
func refused(address string) bool {
	kind, _ := killMailOf(address)
	return kind == "bad" || kind == "gone"
}
