package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
)

// UncertainAction says what becomes of a job whose outcome is uncertain.
type UncertainAction int

const (
	// RetryUncertain tries again after twice the usual wait, the same host first, which may deliver a second copy.
	RetryUncertain UncertainAction = iota
	// HoldUncertain holds the whole job, with what else is pending in it, until [Sender.Release], [Sender.Withdraw] or its expiry.
	HoldUncertain
)

// UncertainDelivery is what Config.OnUncertain is asked about: the connection was lost after all of the message was sent and
// before that was answered.
type UncertainDelivery struct {
	Key        queue.Key
	Message    queue.Message
	Recipients []string    // those who may have it
	Reply      queue.Reply // the host, and what happened there
	Try        int         // 1 for the first attempt
}

// askLimit bounds Config.OnUncertain: a job, and the connection that it came from, wait for the answer.
const askLimit = 30 * time.Second

// errNoAnswer means that the host program wasn't heard in time.
var errNoAnswer = errors.New("delivery: OnUncertain has not returned in time")

// holds reports whether the job of an attempt is to be held because its outcome is uncertain.
func (r *run) holds(t *try) bool {
	if !t.Uncertain() {
		return false
	}
	action := r.config.Uncertain
	if r.config.OnUncertain != nil {
		answer, err := r.ask(t.uncertainDelivery())
		if err != nil {
			r.trouble(t.job.Key, err)
		} else {
			action = answer
		}
	}
	return action == HoldUncertain
}

// ask asks the host program, and waits for it no longer than askLimit, or until Run must end.
func (r *run) ask(d UncertainDelivery) (action UncertainAction, err error) {
	ctx, cancel := context.WithTimeout(r.hard, askLimit)
	defer cancel()
	type answer struct {
		action UncertainAction
		err    error
	}
	answers := make(chan answer, 1)
	go func() { // it may never return, which is nothing that could be helped
		var a answer
		a.err = guard(func() error { a.action = r.config.OnUncertain(ctx, d); return nil })
		answers <- a
	}()
	select {
	case a := <-answers:
		return a.action, a.err
	case <-ctx.Done():
	}
	select {
	case a := <-answers: // both at once
		return a.action, a.err
	default:
		return 0, errNoAnswer
	}
}

func (t *try) uncertainDelivery() UncertainDelivery {
	d := UncertainDelivery{Key: t.job.Key, Message: t.job.Message, Try: t.job.Tries + 1}
	for i := range t.Results {
		if t.Results[i].Verdict.Outcome == retry.Uncertain {
			d.Recipients = append(d.Recipients, t.job.Recipients[i].Address)
			d.Reply = t.Results[i].Reply
		}
	}
	return d
}
