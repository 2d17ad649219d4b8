package simulate

import (
	"fmt"
	"strings"

	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
)

// answered hears what is answered to a transaction, to each recipient that is pending.
func (w *worker) answered() {
	d := dialogue{worker: w, q: w.ask()}
	for i := range w.job.Recipients {
		if w.job.Recipients[i].State == queue.Pending {
			d.open = append(d.open, i)
		}
	}
	if w.Servers.down(d.q) {
		d.all(Answer{Phase: retry.PhaseData})
	} else {
		d.run()
	}
	w.feedback.Contact = schedule.Met
	if d.ended.Phase != "" {
		w.feedback.Contact, w.feedback.Text = schedule.Failed, said(d.ended)
		if d.ended.Code == 421 {
			w.feedback.Contact = schedule.TurnedAway
		}
	}
	if d.closes {
		w.hangUp()
	}
	w.finish()
}

// dialogue is one transaction.
type dialogue struct {
	*worker
	q        *question
	open     []int // recipients without an answer of their own
	accepted int
	ended    queue.Reply // what has ended the session early, if anything has
	closes   bool        // the session is of no use any more
}

func (d *dialogue) run() {
	if a, ok := d.Servers.answer(retry.PhaseMail, d.q); ok && a.Code/100 != 2 {
		d.all(a)
		return
	}
	var accepted []int
	for n, i := range d.open {
		d.q.address = d.job.Recipients[i].Address
		a, ok := d.Servers.answer(retry.PhaseRcpt, d.q)
		switch {
		case !ok || a.Code/100 == 2:
			accepted = append(accepted, i)
		case a.Code == 0 || a.Code == 421:
			d.open = append(accepted, d.open[n:]...)
			d.all(a)
			return
		default:
			d.accepted = len(accepted)
			d.one(i, a)
		}
	}
	d.open, d.q.address, d.accepted = accepted, "", 0
	if len(accepted) == 0 {
		return
	}
	if a, ok := d.Servers.answer(retry.PhaseData, d.q); ok && a.Code/100 != 3 {
		d.all(a)
		return
	}
	a, ok := d.Servers.answer(retry.PhaseBody, d.q)
	if !ok {
		a = Answer{retry.PhaseBody, 250, "2.0.0", "Ok"}
	}
	d.all(a)
}

// all gives the same answer to everyone who has none.
func (d *dialogue) all(a Answer) {
	for _, i := range d.open {
		d.one(i, a)
	}
}

// one gives an answer to a recipient.
func (d *dialogue) one(i int, a Answer) {
	r := d.reply(a)
	v := retry.Classify(retry.Reply{
		Phase: a.Phase, Code: a.Code, Enhanced: a.Enhanced, Accepted: d.accepted,
		Uncertain: a.Code == 0 && a.Phase == retry.PhaseBody,
	})
	if a.Code == 0 || a.Code == 421 {
		d.ended = r
	}
	d.closes = d.closes || v.Close
	d.judge(i, r, v)
}

// said is a reply on one line.
func said(r queue.Reply) string {
	if r.Code == 0 {
		return r.Phase + ": " + r.Text
	}
	return strings.Join(strings.Fields(fmt.Sprint(r.Code, " ", r.Enhanced, " ", r.Text)), " ")
}
