package delivery_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/mail"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/dsn"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

const (
	// dropOneIn is how many messages there are for one whose connection is dropped after the final dot.
	dropOneIn = 20
	// lifeThings is how much happens in a life at most: enough that some lives come to an empty queue.
	lifeThings = 1300
)

// killWorld is all that is not killed: the servers, what they have seen, and what the process has said.
type killWorld struct {
	hosts   map[string]netip.AddrPort // by domain
	servers []*smtptest.Server

	mu         sync.Mutex // guards what follows
	random     *rand.Rand
	countdown  int                            // so many things happen before the kill
	kill       func()                         // ends the process of now
	queued     map[queue.ID]string            // what was acknowledged, with its sender
	stored     map[parcel]int                 // in which life it was said that the delivery is stored
	arrived    map[parcel][]arrival           // in the order of their final dots
	reported   map[told]map[queue.ID]bool     // which reports tell what
	digests    map[queue.ID][sha256.Size]byte // of the first copy, which all others must equal
	greylisted map[string]bool                // recipients that were asked to come back
	wrong      []string                       // what arrived and is not as it should be
}

// parcel is one message for one recipient. Reports are messages, too.
type parcel struct {
	id queue.ID
	to string
}

// arrival is one copy of a parcel.
type arrival struct {
	life     int
	answered bool // else the connection was dropped
}

func newKillWorld(t *testing.T, seed uint64) *killWorld {
	w := &killWorld{
		hosts:      make(map[string]netip.AddrPort),
		random:     rand.New(rand.NewPCG(seed, 0)),
		queued:     make(map[queue.ID]string),
		stored:     make(map[parcel]int),
		arrived:    make(map[parcel][]arrival),
		reported:   make(map[told]map[queue.ID]bool),
		digests:    make(map[queue.ID][sha256.Size]byte),
		greylisted: make(map[string]bool),
	}
	for _, domain := range []string{killHome, "a.example", killAware} {
		s := &smtptest.Server{Reply: w.reply, Extensions: []string{"PIPELINING", "8BITMIME", "CHUNKING"}}
		if domain == killAware {
			s.Extensions = append(s.Extensions, "DSN")
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		w.hosts[domain] = netip.MustParseAddrPort(s.Addr)
		w.servers = append(w.servers, s)
	}
	t.Cleanup(w.close)
	return w
}

// close returns when no server runs any more.
func (w *killWorld) close() {
	for _, s := range w.servers {
		s.Close()
	}
}

// arm makes kill be called once, when some number of things has happened or, sometimes, after some time.
func (w *killWorld) arm(kill func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kill, w.countdown = kill, 1+w.random.IntN(lifeThings)
	if w.random.IntN(8) == 0 { // while the process starts
		w.countdown = 0
		time.AfterFunc(time.Duration(w.random.Int64N(int64(200*time.Millisecond))), kill)
	}
}

// happened counts down to the kill, which comes at once or a moment later. It is called before the answer to what
// happened is given, with mu held.
func (w *killWorld) happened() {
	if w.countdown--; w.countdown != 0 {
		return
	}
	if wait := w.random.IntN(10); wait < 5 {
		w.kill()
	} else {
		time.AfterFunc(time.Duration(wait-5)*time.Millisecond, w.kill)
	}
}

// said notes a line of the process.
func (w *killWorld) said(life int, word string, id queue.ID, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch word {
	case "queued":
		w.queued[id] = address
	case "delivered":
		if p := (parcel{id, address}); w.stored[p] == 0 {
			w.stored[p] = life
		}
	}
	w.happened()
}

// reply is what the servers say. What they note, they note before they say anything.
func (w *killWorld) reply(c smtptest.Command) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.happened()
	switch c.Verb {
	case "RCPT":
		return w.recipient(c.Address)
	case ".":
		return w.take(c.Message)
	}
	return ""
}

func (w *killWorld) recipient(address string) string {
	switch kind, _ := killMailOf(address); {
	case refused(address):
		return "550 5.1.1 no such user"
	case kind == "grey" && !w.greylisted[address]:
		w.greylisted[address] = true
		return "450 4.7.1 greylisted"
	}
	return ""
}

// take notes a message for each of its recipients.
func (w *killWorld) take(m *smtptest.Message) string {
	id, err := w.inspect(m)
	if err != nil {
		w.wrong = append(w.wrong, fmt.Sprintf("%s from %q: %v", id, m.From, err))
	}
	a := arrival{answered: w.random.IntN(dropOneIn) != 0}
	if _, err := fmt.Sscanf(m.Helo, "life%d.example", &a.life); err != nil {
		w.wrong = append(w.wrong, fmt.Sprintf("EHLO %q", m.Helo))
	}
	for _, to := range m.To {
		p := parcel{id, to.Address}
		w.arrived[p] = append(w.arrived[p], a)
	}
	if !a.answered {
		return smtptest.Close
	}
	return ""
}

// traceField and addedFields are what Enqueue puts around the fields of a message.
var (
	traceField  = regexp.MustCompile(`^Received: by life\d+\.example id \w+;\r\n\t.+\r\n`)
	addedFields = regexp.MustCompile(`^Date: .+\r\nMessage-ID: .+\r\n$`)
)

// inspect returns the ID of a message, and what is wrong with its octets or, if it is a report, with what it says.
func (w *killWorld) inspect(m *smtptest.Message) (queue.ID, error) {
	parsed, err := mail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		return "", err
	}
	local, _, _ := strings.Cut(strings.TrimPrefix(parsed.Header.Get("Message-ID"), "<"), "@")
	id := queue.ID(local)
	digest := sha256.Sum256(m.Data)
	if first, ok := w.digests[id]; ok && digest != first {
		return id, errors.New("two copies differ")
	}
	w.digests[id] = digest
	if m.From == "" {
		return id, w.inspectReport(id, m)
	}
	_, sent := killMailOf(m.From)
	added, ok := strings.CutPrefix(string(m.Data[len(traceField.Find(m.Data)):]), sent.head())
	if ok {
		added, ok = strings.CutSuffix(added, "\r\n"+sent.body())
	}
	if !ok || !addedFields.MatchString(added) {
		return id, fmt.Errorf("%d octets that are not those that were sent", len(m.Data))
	}
	return id, nil
}

// inspectReport notes whom a report names: recipients of the message that the one who gets it has sent.
func (w *killWorld) inspectReport(id queue.ID, m *smtptest.Message) error {
	report, err := dsn.Parse(bytes.NewReader(m.Data))
	if err != nil {
		return err
	}
	for _, r := range report.Recipients {
		_, about := killMailOf(r.Final)
		class := map[dsn.Action]string{dsn.Failed: "5.1.1", dsn.Delayed: "4.", dsn.Relayed: "2."}[r.Action]
		if len(m.To) != 1 || m.To[0].Address != about.from() || class == "" || !strings.HasPrefix(r.Status, class) {
			return fmt.Errorf("a report to %v says of %q: %s %s", m.To, r.Final, r.Action, r.Status)
		}
		n := told{r.Action, r.Final}
		if w.reported[n] == nil {
			w.reported[n] = make(map[queue.ID]bool)
		}
		w.reported[n][id] = true
	}
	return nil
}
