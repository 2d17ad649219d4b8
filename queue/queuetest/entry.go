package queuetest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing/iotest"
	"time"

	"github.com/postroad/postroad/queue"
)

func entryCases() []testCase {
	return []testCase{
		{"EntryBody", "Body is read to io.EOF, however it hands out its octets, and nil is an empty body.", entryBody},
		{"EntryBodyFails", "An error of Body is returned, wrapped, and nothing is stored.", entryBodyFails},
		{"EntryBodySlow", "A Body or Head that takes its time keeps no other method waiting.", entryBodySlow},
		{"EntryLargeBody", "A large body is stored octet by octet.", entryLargeBody},
		{"EntryHead", "Head is called once, after the end of Body, and is stored before it.", entryHead},
		{"EntryHeadFails", "An error of Head is returned, wrapped, and nothing is stored.", entryHeadFails},
		{"EntryHeadCompletes", "Digest, UTF8, EightBit and TLS are looked at only after Head has returned.", entryHeadCompletes},
		{"EntrySize", "Size is set by the queue: the octets of Head and Body.", entrySize},
		{"EntryInvalid", "An entry that Check refuses is ErrInvalid, and nothing is stored.", entryInvalid},
		{"EntryLargest", "What is within the bounds of an entry is stored, claimed and committed, however large it is.", entryLargest},
		{"EntryTimes", "Times are kept to the microsecond or better, whatever their zone, and zero stays zero.", entryTimes},
	}
}

func entryBody(r *run) {
	bodies := map[queue.ID]func(io.Reader) io.Reader{
		"one-byte": iotest.OneByteReader,
		"data-err": iotest.DataErrReader,
		"half":     iotest.HalfReader,
		"nothing":  func(rd io.Reader) io.Reader { return io.MultiReader(&idle{}, rd) },
	}
	for id, wrap := range bodies {
		e := message(id)
		e.Body = wrap(e.Body)
		r.add(e)
		equal(r, r.body(id), text(id), "the body from a reader of the kind %s", id)
	}
	e := message("nil")
	e.Body = nil
	r.add(e)
	equal(r, r.body("nil"), "", "the body of an entry without one")
}

// idle returns no octets and no error a few times, as a reader may.
type idle struct{ n int }

func (i *idle) Read([]byte) (int, error) {
	if i.n++; i.n > 3 {
		return 0, io.EOF
	}
	return 0, nil
}

func entryBodyFails(r *run) {
	broken := errors.New("the body broke")
	for _, err := range []error{broken, io.ErrUnexpectedEOF} {
		for _, read := range []string{"", "half a body", strings.Repeat("much of a body\r\n", 50_000)} {
			e := message("a")
			e.Body = io.MultiReader(strings.NewReader(read), iotest.ErrReader(err))
			e.Head = func() ([]byte, error) { r.errorf("Head was called though Body failed"); return nil, nil }
			added, got := r.q.Enqueue(r.ctx, e)
			r.is(got, err, "Enqueue with a Body that fails after %d octets", len(read))
			equal(r, added, false, "added")
		}
	}
	r.nothing("a")
}

// nothing checks that nothing of a message was stored, and that it can be.
func (r *run) nothing(id queue.ID) {
	equal(r, keys(r.list(queue.Filter{ID: id})), "", "what Jobs lists")
	equal(r, keys(r.due(0)), "", "what is claimable")
	_, err := r.q.Open(r.ctx, id)
	r.is(err, queue.ErrNotFound, "Open")
	r.add(message(id))
	equal(r, r.body(id), text(id), "the body that was stored then")
}

// action is a reader at its end that does something first.
type action func()

func (a action) Read([]byte) (int, error) {
	a()
	return 0, io.EOF
}

func entryBodySlow(r *run) {
	r.add(message("a"))
	e := message("b")
	busy := func(id queue.ID) {
		added, err := r.q.Enqueue(r.ctx, message(id))
		if err != nil || !added {
			r.errorf("Enqueue of %s while the body of b is read: %v, %v", id, added, err)
		}
		jobs := r.claim(queue.ClaimRequest{Now: at(0), Limit: 1, Keys: []queue.Key{{ID: id}}}).Jobs
		equal(r, keys(jobs), string(id), "what is claimed while the body of b is read")
		r.commit(finish(jobs[0]))
		equal(r, r.body("a"), text("a"), "a body read while the body of b is read")
		equal(r, keys(r.list(queue.Filter{ID: "b"})), "", "what is stored of b while its body is read")
	}
	e.Body = io.MultiReader(e.Body, action(func() { busy("c") }))
	e.Head = func() ([]byte, error) { busy("d"); return nil, nil }
	r.add(e)
	equal(r, r.body("b"), text("b"), "the body")
}

// large is a body that doesn't repeat itself.
func large(octets int) []byte {
	b := make([]byte, 0, octets+sha256.Size)
	for sum := sha256.Sum256(nil); len(b) < octets; sum = sha256.Sum256(sum[:]) {
		b = append(b, sum[:]...)
	}
	return b[:octets]
}

func entryLargeBody(r *run) {
	for _, octets := range []int{64 << 10, 256 << 10, 256<<10 + 1, 3_000_001} {
		body := large(octets)
		e := message(queue.EncodeID([16]byte(body[octets-16:])))
		e.Body = bytes.NewReader(body)
		r.add(e)
		if r.body(e.Message.ID) != string(body) {
			r.fatalf("the body of %d octets was changed", octets)
		}
	}
}

func entryHead(r *run) {
	e := message("a")
	ended, calls := false, 0
	e.Body = io.MultiReader(e.Body, action(func() { ended = true }))
	e.Head = func() ([]byte, error) {
		calls++
		equal(r, ended, true, "whether Body was at its end when Head was called")
		return []byte("Received: here\r\n"), nil
	}
	r.add(e)
	equal(r, calls, 1, "how often Head was called")
	equal(r, r.body("a"), "Received: here\r\n"+text("a"), "the body")
}

func entryHeadFails(r *run) {
	broken := errors.New("no signature")
	e := message("a")
	e.Head = func() ([]byte, error) { return []byte("Half-"), broken }
	added, err := r.q.Enqueue(r.ctx, e)
	r.is(err, broken, "Enqueue with a Head that fails")
	equal(r, added, false, "added")
	r.nothing("a")
}

func entryHeadCompletes(r *run) {
	make := func(word string) *queue.Entry {
		e := message("a")
		e.Message.Digest = [32]byte{}
		e.Head = func() ([]byte, error) {
			e.Message.Digest = sha256.Sum256([]byte(word))
			e.Message.UTF8, e.Message.EightBit, e.Message.TLS = true, true, queue.TLSOptional
			return nil, nil
		}
		return e
	}
	r.add(make("one"))
	m := r.get(queue.Key{ID: "a"}).Message
	equal(r, m.Digest, sha256.Sum256([]byte("one")), "the stored Digest")
	equal(r, m.UTF8, true, "the stored UTF8")
	equal(r, m.EightBit, true, "the stored EightBit")
	equal(r, m.TLS, queue.TLSOptional, "the stored TLS")
	added, err := r.q.Enqueue(r.ctx, make("one"))
	r.ok(err, "Enqueue of the same ID and Digest")
	equal(r, added, false, "added")
	_, err = r.q.Enqueue(r.ctx, make("two"))
	r.is(err, queue.ErrConflict, "Enqueue of the same ID and another Digest")
}

func entrySize(r *run) {
	e := message("a", job("example.com", 0), job("example.net", 0))
	e.Message.Size = 1
	e.Head = func() ([]byte, error) { return []byte("0123456789"), nil }
	r.add(e)
	want := int64(10 + len(text("a")))
	for _, j := range r.list(queue.Filter{}) {
		equal(r, j.Message.Size, want, "Size as listed with %s", j.Key)
	}
	for _, j := range r.due(0) {
		equal(r, j.Message.Size, want, "Size as claimed with %s", j.Key)
	}
}

func entryInvalid(r *run) {
	broken := map[string]func(e *queue.Entry){
		"no ID":              func(e *queue.Entry) { e.Message.ID = ""; e.Jobs[0].Key.ID = "" },
		"a path as ID":       func(e *queue.Entry) { e.Message.ID = "../a"; e.Jobs[0].Key.ID = "../a" },
		"no Expires":         func(e *queue.Entry) { e.Message.Expires = time.Time{} },
		"a NUL":              func(e *queue.Entry) { e.Message.Labels = []string{"\x00"} },
		"no UTF-8":           func(e *queue.Entry) { e.Message.Tenant = "\xff" },
		"no jobs":            func(e *queue.Entry) { e.Jobs = nil },
		"a nil job":          func(e *queue.Entry) { e.Jobs = append(e.Jobs, nil) },
		"a wrong number":     func(e *queue.Entry) { e.Jobs[0].Key.N = 1 },
		"another's key":      func(e *queue.Entry) { e.Jobs[0].Key.ID = "b" },
		"no domain":          func(e *queue.Entry) { e.Jobs[0].Domain = "" },
		"no recipients":      func(e *queue.Entry) { e.Jobs[0].Recipients = nil },
		"no address":         func(e *queue.Entry) { e.Jobs[0].Recipients[0].Address = "" },
		"no due time":        func(e *queue.Entry) { e.Jobs[0].Due = time.Time{} },
		"finished too early": func(e *queue.Entry) { e.Jobs[0].Finished = at(0) },
		"too long a string":  func(e *queue.Entry) { e.Jobs[0].Via = strings.Repeat("x", queue.MaxString+1) },
		"too many attempts":  func(e *queue.Entry) { e.Jobs[0].Attempts = make([]queue.Attempt, queue.MaxAttempts+1) },
	}
	for name, change := range broken {
		e := message("a")
		change(e)
		added, err := r.q.Enqueue(r.ctx, e)
		r.is(err, queue.ErrInvalid, "Enqueue of an entry with %s", name)
		equal(r, added, false, "added")
	}
	r.nothing("a")
}

func entryTimes(r *run) {
	zone := time.FixedZone("far east", 11*3600+1800)
	e := message("a")
	e.Message.Enqueued = time.Time{}
	e.Message.Expires = at(9*time.Hour + 7*time.Microsecond).In(zone)
	e.Jobs[0].Due = at(3*time.Microsecond + 999*time.Nanosecond).In(zone)
	r.add(e)
	j := r.get(queue.Key{ID: "a"})
	equal(r, j.Message.Enqueued.IsZero(), true, "whether a zero Enqueued stays zero")
	equal(r, j.Finished.IsZero() && j.Leased.IsZero(), true, "whether a zero Finished and Leased stay zero")
	equal(r, j.Message.Expires.Equal(e.Message.Expires), true, "whether Expires is equal")
	equal(r, j.Due.Truncate(time.Microsecond).Equal(at(3*time.Microsecond)), true, "whether Due is equal to the microsecond")
	equal(r, keys(r.due(2*time.Microsecond)), "", "what is claimable a microsecond before Due")
	equal(r, keys(r.due(4*time.Microsecond)), "a", "what is claimable a microsecond after Due")
}

func entryLargest(r *run) {
	long := strings.Repeat("é", queue.MaxString/2)
	id := queue.ID(strings.Repeat("z", 64))
	j := job("example.com", 0)
	j.Domain, j.Via = long, long
	j.Recipients = make([]queue.Recipient, queue.MaxRecipients)
	for i := range j.Recipients {
		j.Recipients[i].Address = "user@example.com"
	}
	reply := queue.Reply{Host: long, Addr: long, Phase: long, Code: -1 << 31, Enhanced: long, Text: long}
	j.Recipients[0] = queue.Recipient{Address: long, From: long, Reply: reply, Original: long, Reason: long}
	for range queue.MaxAttempts {
		j.Attempts = append(j.Attempts, queue.Attempt{Time: at(0), TLS: long, Reply: queue.Reply{Text: "\x01\u2028"}})
	}
	e := message(id, j)
	m := &e.Message
	m.From, m.Tenant, m.EnvelopeID, m.Priority = long, long, long, 127
	for range queue.MaxLabels {
		m.Labels = append(m.Labels, long)
	}
	r.add(e)
	equal(r, describe(r.get(j.Key)), describe(want(e, len(text(id)), j)), "the job as listed")
	c := r.claim(queue.ClaimRequest{Now: at(0), Limit: 1, Take: []queue.Take{{Lane: j.Lane(), N: 1}}})
	equal(r, len(c.Jobs), 0, "how many jobs are taken of the lane of the entry's own job, which has no tenant")
	c = r.claim(queue.ClaimRequest{Now: at(0), Limit: 1, Take: []queue.Take{{
		Lane: queue.Lane{Domain: long, Tenant: long, Priority: 127}, N: 1,
	}}})
	equal(r, len(c.Jobs), 1, "how many jobs are taken of the lane")
	r.commit(finish(c.Jobs[0]))
	equal(r, len(r.list(queue.Filter{Label: long, Sender: long, Ended: true})), 1, "how many jobs have ended")
}
