package verdict

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
)

// start is any time; nothing here reads a clock.
var start = time.Unix(1_000_000_000, 0)

func newJob(recipients ...string) *queue.Job {
	j := &queue.Job{
		Key: queue.Key{ID: "m"}, Domain: "a.example", Due: start,
		Message: queue.Message{ID: "m", Enqueued: start, Expires: start.Add(24 * time.Hour)},
	}
	for _, r := range recipients {
		j.Recipients = append(j.Recipients, queue.Recipient{Address: r})
	}
	return j
}

// result is what an answer of code and text makes.
func result(outcome retry.Outcome, code int, text string) Result {
	return Result{Tried: true, Reply: queue.Reply{Host: "mx", Code: code, Text: text}, Verdict: retry.Verdict{Outcome: outcome}}
}

func rules() *Rules { return &Rules{Retry: retry.Schedule{10 * time.Minute}} }

func states(j *queue.Job) string {
	var s []string
	for _, r := range j.Recipients {
		s = append(s, r.State.String())
	}
	return strings.Join(s, " ")
}

func TestConclude(t *testing.T) {
	now := start.Add(time.Hour)
	for name, c := range map[string]struct {
		rules   Rules
		results []Result
		wait    string
		states  string
	}{
		"delivered":  {results: []Result{result(retry.Delivered, 250, "")}, states: "delivered"},
		"refused":    {results: []Result{result(retry.Permanent, 550, "")}, states: "failed"},
		"deferred":   {results: []Result{result(retry.Temporary, 450, "")}, states: "pending", wait: "10m0s"},
		"hint":       {results: []Result{result(retry.Temporary, 450, "try again in 30 minutes")}, states: "pending", wait: "30m0s"},
		"short hint": {results: []Result{result(retry.Temporary, 450, "try again in 2 minutes")}, states: "pending", wait: "10m0s"},
		"uncertain":  {results: []Result{result(retry.Uncertain, 0, "")}, states: "pending", wait: "20m0s"},
		"bounded":    {rules: Rules{MaxWait: 15 * time.Minute}, results: []Result{result(retry.Uncertain, 0, "")}, states: "pending", wait: "15m0s"},
		"held":       {rules: Rules{Hold: true}, results: []Result{result(retry.Uncertain, 0, "")}, states: "pending", wait: "held"},
		"not held":   {rules: Rules{Hold: true}, results: []Result{result(retry.Temporary, 450, "")}, states: "pending", wait: "10m0s"},
		"mixed": {
			results: []Result{result(retry.Delivered, 250, ""), result(retry.Permanent, 550, ""), result(retry.Temporary, 450, "")},
			states:  "delivered failed pending", wait: "10m0s",
		},
		"ordered wait": {
			results: []Result{{Tried: true, Verdict: retry.Verdict{Outcome: retry.Temporary}, Wait: 4 * time.Hour}},
			states:  "pending", wait: "4h0m0s",
		},
		"a wait of one who has ended": {
			results: []Result{{Tried: true, Verdict: retry.Verdict{Outcome: retry.Permanent}, Wait: 4 * time.Hour}, result(retry.Temporary, 450, "")},
			states:  "failed pending", wait: "10m0s",
		},
		"not beyond the expiry": {
			results: []Result{{Tried: true, Verdict: retry.Verdict{Outcome: retry.Temporary}, Wait: 400 * time.Hour}},
			states:  "pending", wait: "23h0m0s",
		},
		"the policy gives up": {
			rules:   Rules{Retry: retry.PolicyFunc(func(retry.Attempt) (time.Duration, bool) { return 0, false })},
			results: []Result{result(retry.Temporary, 450, "")}, states: "failed",
		},
		"a policy that turns back time": {
			rules:   Rules{Retry: retry.PolicyFunc(func(retry.Attempt) (time.Duration, bool) { return -time.Hour, true })},
			results: []Result{result(retry.Temporary, 450, "")}, states: "pending", wait: "0s",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.rules
			if r.Retry == nil {
				r.Retry = rules().Retry
			}
			j := newJob(make([]string, len(c.results))...)
			for i := range c.results {
				c.results[i].TLS = "TLS 1.3"
			}
			r.Conclude(j, &Attempt{Began: now, Took: time.Second, Results: c.results}, now, nil)
			r.Finish(j, &Attempt{}, now, nil)
			if states(j) != c.states {
				t.Errorf("recipients are %s, want %s", states(j), c.states)
			}
			for _, rcpt := range j.Recipients {
				if rcpt.State == queue.Pending != rcpt.Decided.IsZero() || rcpt.Decided.After(now.Add(time.Second)) {
					t.Errorf("it was decided %v: %+v", rcpt.Decided, rcpt)
				}
			}
			wait := ""
			switch {
			case j.Held:
				wait = "held"
			case Pending(j) > 0:
				wait = fmt.Sprint(j.Due.Sub(now))
			}
			if wait != c.wait {
				t.Errorf("the wait is %s, want %s", wait, c.wait)
			}
			if j.Tries != 1 || len(j.Attempts) != 1 || j.Attempts[0].TLS != "TLS 1.3" || !j.Attempts[0].Time.Equal(now) {
				t.Errorf("the record is %+v", j.Attempts)
			}
			if ended := c.states == "delivered"; ended == j.Finished.IsZero() {
				t.Errorf("finished at %v", j.Finished)
			}
		})
	}
}

// The reply that decides most stands for the attempt.
func TestWeightiestReply(t *testing.T) {
	all := []Result{
		result(retry.Delivered, 250, ""), result(retry.Permanent, 550, ""), result(retry.Temporary, 450, ""), result(retry.Uncertain, 0, "lost"),
	}
	all[0].QueueID, all[0].TLS, all[0].Verified = "4c8xyz", "TLS 1.2", true
	all[2].TLS = "TLS 1.3"
	for n := 1; n <= len(all); n++ {
		j := newJob(make([]string, n)...)
		rules().Conclude(j, &Attempt{Began: start, Results: all[:n]}, start, nil)
		a := j.Attempts[0]
		if a.Reply.Code != all[n-1].Reply.Code || a.TLS != all[n-1].TLS || a.Verified != all[n-1].Verified {
			t.Errorf("of %d replies, %+v stands for the attempt", n, a)
		}
		if a.QueueID != "4c8xyz" {
			t.Errorf("the server that has taken the message calls it %q", a.QueueID)
		}
	}
}

// What has expired ends without an attempt; what hasn't stays as it is but for when it is due.
func TestConcludeWithoutAttempt(t *testing.T) {
	j := newJob("ann@a.example")
	rules().Conclude(j, &Attempt{}, j.Message.Expires, nil)
	if states(j) != "failed" || j.Recipients[0].Reason == "" || j.Tries != 0 || len(j.Attempts) != 0 {
		t.Errorf("the job is %+v", j)
	}
}

// A job that owes only a report comes back for it, whatever the policy says.
func TestReportIsNotGivenUp(t *testing.T) {
	r := &Rules{Retry: retry.PolicyFunc(func(retry.Attempt) (time.Duration, bool) { return 0, false })}
	j := newJob("ann@a.example")
	j.Recipients[0].State = queue.Failed
	r.Conclude(j, &Attempt{}, start, nil)
	r.Finish(j, &Attempt{}, start, nil)
	if !j.Finished.IsZero() || j.Due.Sub(start) != time.Hour {
		t.Errorf("the job is %+v", j)
	}
	j.Recipients[0].State, j.Held = queue.Bounced, true
	r.Finish(j, &Attempt{}, start, nil)
	if j.Finished.IsZero() || j.Held {
		t.Errorf("the job is %+v", j)
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	j := newJob("ann@a.example")
	for n := range 50 {
		rules().Conclude(j, &Attempt{Began: start, Results: []Result{result(retry.Temporary, 400+n, "")}}, start, nil)
	}
	if j.Tries != 50 || len(j.Attempts) != 20 || j.Attempts[19].Reply.Code != 449 || j.Attempts[0].Reply.Code != 430 {
		t.Errorf("%d tries, %d kept, the last %d", j.Tries, len(j.Attempts), j.Attempts[19].Reply.Code)
	}
}

func TestRecordClearsDoubt(t *testing.T) {
	j := newJob("ann@a.example")
	j.Lapses = 2
	rules().Conclude(j, &Attempt{Began: start, Results: []Result{result(retry.Uncertain, 0, "")}}, start, nil)
	if !j.Recipients[0].Uncertain || !j.Attempts[0].Uncertain || j.Lapses != 0 {
		t.Errorf("the job is %+v", j)
	}
	rules().Conclude(j, &Attempt{Began: start, Results: []Result{result(retry.Delivered, 250, "")}}, start, nil)
	if j.Recipients[0].Uncertain || j.Attempts[1].Uncertain {
		t.Errorf("what was delivered is uncertain: %+v", j)
	}
}

func TestDelayed(t *testing.T) {
	j := newJob("ann@a.example")
	var late []int
	for n := range 10 { // one attempt an hour
		at := start.Add(time.Duration(n) * time.Hour)
		rules().Conclude(j, &Attempt{Began: at, Took: time.Minute, Results: []Result{result(retry.Temporary, 450, "")}}, at, nil)
		if Delayed(j, 4*time.Hour) {
			late = append(late, n)
		}
	}
	if len(late) != 1 || late[0] != 4 {
		t.Errorf("delayed after attempts %v", late)
	}
	j.Attempts = j.Attempts[9:]
	if !Delayed(j, 4*time.Hour) {
		t.Errorf("a first attempt that is late is not told of")
	}
	j.Recipients[0].State = queue.Delivered
	if Delayed(j, 4*time.Hour) {
		t.Errorf("what has arrived is not late")
	}
}
