package queuetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/postroad/postroad/queue"
)

func bodyCases() []testCase {
	return []testCase{
		{"OpenNotFound", "A message that isn't stored, or whose jobs are all finished, is ErrNotFound.", openNotFound},
		{"OpenLastJob", "The body is there until the last job is finished, and gone then.", openLastJob},
		{"OpenWrites", "A body that is being read holds no lock: everything else goes on.", openWrites},
		{"OpenConcurrently", "Several readers of a body each get all of it.", openConcurrently},
		{"OpenDeleted", "A body that is deleted while it is read is read whole, or ends in io.ErrUnexpectedEOF.", openDeleted},
		{"OpenCut", "A body that has lost its end doesn't end in io.EOF but in io.ErrUnexpectedEOF.", openCut},
	}
}

func openNotFound(r *run) {
	for _, id := range []queue.ID{"unknown", "", "../etc"} {
		_, err := r.q.Open(r.ctx, id)
		r.is(err, queue.ErrNotFound, "Open of the unknown message %q", id)
	}
	r.add(message("a"))
	r.commit(finish(r.take(0)))
	_, err := r.q.Open(r.ctx, "a")
	r.is(err, queue.ErrNotFound, "Open of a finished message")
}

func openLastJob(r *run) {
	r.add(message("a", job("a.example", 0), job("b.example", 0), finish(job("c.example", 0))))
	jobs := r.due(0)
	r.commit(finish(jobs[0]))
	equal(r, r.body("a"), text("a"), "the body when one of two jobs is finished")
	r.commit(finish(jobs[0])) // a repeated commit finishes nothing
	equal(r, r.body("a"), text("a"), "the body after a repeated commit")
	jobs[1].Recipients[0].State = queue.Failed
	r.commit(jobs[1])
	equal(r, r.body("a"), text("a"), "the body when the other job has failed and nobody knows yet")
	r.commit(finish(r.take(0)))
	_, err := r.q.Open(r.ctx, "a")
	r.is(err, queue.ErrNotFound, "Open when all jobs are finished")
}

func openWrites(r *run) {
	body := large(1_000_000)
	e := message("a")
	e.Body = bytes.NewReader(body)
	r.add(e)
	rc, err := r.q.Open(r.ctx, "a")
	r.ok(err, "Open")
	var got bytes.Buffer
	part := func(octets int64) {
		if _, err := io.CopyN(&got, rc, octets); err != nil {
			r.fatalf("reading the body at octet %d: %v", got.Len(), err)
		}
	}
	part(1000)
	for i := range 60 { // enough to make a backend grow its file
		id := queue.ID(fmt.Sprintf("b%02d", i))
		e := message(id)
		e.Body = bytes.NewReader(body[:20_000])
		r.add(e)
		r.commit(finish(r.takeKey(queue.Key{ID: id}, 0)))
		part(10_000)
	}
	j := r.take(0)
	j.Due = at(time.Hour)
	r.commit(j)
	rest, err := io.ReadAll(rc)
	r.ok(err, "reading the rest of the body")
	r.ok(rc.Close(), "Close")
	if !bytes.Equal(append(got.Bytes(), rest...), body) {
		r.fatalf("the body that was read while other messages came and went is not the stored one")
	}
}

func openConcurrently(r *run) {
	body := large(600_000)
	e := message("a")
	e.Body = bytes.NewReader(body)
	r.add(e)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			rc, err := r.q.Open(r.ctx, "a")
			if err != nil {
				r.errorf("Open: %v", err)
				return
			}
			defer rc.Close()
			if got, err := io.ReadAll(rc); err != nil || !bytes.Equal(got, body) {
				r.errorf("a body of %d octets was read as %d, error %v", len(body), len(got), err)
			}
		})
	}
	wg.Wait()
}

func openDeleted(r *run) {
	body := large(2_000_000)
	e := message("a")
	e.Body = bytes.NewReader(body)
	r.add(e)
	rc, err := r.q.Open(r.ctx, "a")
	r.ok(err, "Open")
	defer rc.Close()
	got := make([]byte, 1000)
	_, err = io.ReadFull(rc, got)
	r.ok(err, "reading the body")
	r.commit(finish(r.take(0)))
	for i := range 20 { // whatever takes the place of the body
		e := message(queue.ID(fmt.Sprintf("b%02d", i)))
		e.Body = bytes.NewReader(body[1000:200_000])
		r.add(e)
	}
	r.wholeOrCut(rc, got, body)
}

// wholeOrCut reads on from rc, after got, and checks that it gives the whole body or says that it doesn't.
func (r *run) wholeOrCut(rc io.Reader, got, body []byte) {
	rest, err := io.ReadAll(rc)
	got = append(got, rest...)
	switch {
	case err == nil && !bytes.Equal(got, body):
		r.fatalf("%d octets of a body of %d were read without an error", len(got), len(body))
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		r.fatalf("the body ends in %v, want io.ErrUnexpectedEOF", err)
	case !bytes.HasPrefix(body, got):
		r.fatalf("what was read is not a part of the body")
	}
}

func openCut(r *run) {
	if r.hooks.cut == nil {
		r.skip("needs the option Cut")
	}
	body := large(700_000)
	e := message("a")
	e.Body = bytes.NewReader(body)
	r.add(e, message("b"))
	r.inTest(func() { r.q = r.hooks.cut(r.q, "a") })
	rc, err := r.q.Open(r.ctx, "a")
	if err == nil {
		defer rc.Close()
		_, err = io.ReadAll(rc)
	}
	r.is(err, io.ErrUnexpectedEOF, "reading a body that has lost its end")
	equal(r, r.body("b"), text("b"), "the body of another message")
}
