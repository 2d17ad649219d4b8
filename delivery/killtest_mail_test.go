package delivery_test

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/dsn"
	"github.com/postroad/postroad/queue"
)

const (
	killHome  = "home.example" // where the mail of the kill test comes from, and reports go to
	killAware = "b.example"    // whose server knows DSN, so that it owes the reports of success
)

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
	for _, domain := range []string{"a.example", killAware} {
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

// asks reports whether the sender asks for reports of all kinds.
func (m killMail) asks() bool { return m.n%2 == 0 }

func (m killMail) message() delivery.Message {
	to := delivery.To(m.to()...)
	for i := range to {
		if m.asks() {
			to[i].Notify = queue.NotifySuccess | queue.NotifyFailure | queue.NotifyDelay
		}
	}
	return delivery.Message{From: m.from(), To: to, Body: strings.NewReader(m.head() + "\r\n" + m.body())}
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

// told is a kind of news of a recipient.
type told struct {
	action dsn.Action
	of     string
}

// due reports whether such news of a recipient of j is to be told, as far as is known from what is stored of j, which has ended.
func (n told) due(j *queue.Job) (due, known bool) {
	kind, m := killMailOf(n.of)
	switch n.action {
	case dsn.Failed:
		return refused(n.of), true
	case dsn.Relayed:
		return m.asks() && !refused(n.of) && j.Domain != killAware, true
	}
	// Delayed: each attempt comes too late, so that only the first makes it known, for those whom it leaves behind.
	if j.Tries == 0 || j.Tries > len(j.Attempts) {
		return false, false
	}
	first := j.Attempts[0]
	known = first.Reply.Code != 0 || first.Uncertain
	return m.asks() && !refused(n.of) && (first.Uncertain || first.Reply.Code/100 == 4 && kind == "grey"), known
}

// refused reports whether the servers refuse an address for ever.
func refused(address string) bool {
	kind, _ := killMailOf(address)
	return kind == "bad" || kind == "gone"
}
