package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// suppressed is a Suppressor that knows addresses, and remembers what it was asked.
type suppressed struct {
	mu    sync.Mutex // guards what follows
	list  map[string]string
	asked [][]string
}

func (s *suppressed) Suppressed(_ context.Context, m *queue.Message, to []string) (why map[string]string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, to)
	why = make(map[string]string)
	for _, address := range to {
		if reason, found := s.list[address]; found && !slices.Contains(m.Labels, "reset") {
			why[address] = reason
		}
	}
	return why, nil
}

func (s *suppressed) add(address, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list[address] = reason
}

// suppress makes a Suppressor that knows one address that doesn't exist.
func (w *world) suppress(address string) *suppressed {
	s := &suppressed{list: map[string]string{address: "no such user"}}
	w.config.Suppressor = s
	return s
}

// Who is suppressed ends as whoever was refused does, except that no host hears of it.
func TestSuppressedAtEnqueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.suppress("ann@a.example")
		h, home := w.host("mx.a.example", nil, "a.example"), w.host("mx.home.example", nil, "home.example")
		w.start()
		begun := time.Now()
		id := w.enqueue("ann@a.example", "ben@a.example")
		w.settle(time.Minute)

		w.wantStates(id, "ann@a.example bounced", "ben@a.example delivered")
		if to := h.wantTaken(t, 1)[0].To; len(to) != 1 || to[0].Address != "ben@a.example" {
			t.Errorf("the host was told of %v", to)
		}
		want := queue.Reply{Phase: "suppressed", Code: 550, Enhanced: "5.7.1", Text: "suppressed: no such user"}
		bounced := observed[delivery.Bounced](w)
		if len(bounced) != 1 || len(bounced[0].Recipients) != 1 || bounced[0].Recipients[0].Reply != want || bounced[0].Report == "" {
			t.Errorf("observed %+v", bounced)
		}
		w.wantAttempts("ben@a.example delivered mx.a.example 250", "sender@home.example delivered mx.home.example 250")
		report := string(home.wantTaken(t, 1)[0].Data)
		for _, part := range []string{"ann@a.example", "Status: 5.7.1", "suppressed: no such user"} {
			if !strings.Contains(report, part) {
				t.Errorf("the report lacks %q:\n%s", part, report)
			}
		}
		for o, err := range w.sender.OutcomesSoFar(t.Context(), 0) {
			if err != nil || o.Recipient.Address == "ann@a.example" && (o.Recipient.Reply != want || o.Recipient.Report != bounced[0].Report) {
				t.Errorf("the outcome is %+v, %v", o.Recipient, err)
			}
		}
		status, err := w.sender.Status(t.Context(), id)
		if err != nil || !strings.Contains(status.String(), "ann@a.example: refused "+begun.Local().Format("15:04")+": 550 5.7.1 suppressed: no such user; reported in ") {
			t.Errorf("the status is %v, %v", status, err)
		}
		st, err := w.sender.Stats(t.Context())
		if err != nil || st.Bounced.Total != 1 || st.Failed.Total != 0 || st.Attempts.Total != 2 || st.Expired.Total != 0 {
			t.Errorf("counted %+v bounced, %+v failed, %+v attempts, %v", st.Bounced, st.Failed, st.Attempts, err)
		}
		if asked := fmt.Sprint(s.asked); asked != "[[ann@a.example ben@a.example] [ben@a.example] [sender@home.example]]" {
			t.Errorf("asked about %s", asked)
		}
	})
}

// A job in which nobody is left needs no connection, no attempt, and no other time than now.
func TestSuppressedAtPrepare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.suppress("ann@a.example")
		w.start()
		e, err := w.sender.Prepare(t.Context(), delivery.Message{To: delivery.To("ann@a.example", "ben@a.example")})
		if err != nil {
			t.Fatal(err)
		}
		states := []queue.State{e.Jobs[0].Recipients[0].State, e.Jobs[0].Recipients[1].State}
		if want := []queue.State{queue.Failed, queue.Pending}; !slices.Equal(states, want) {
			t.Errorf("prepared as %v, want %v", states, want)
		}
	})
}

func TestAllSuppressedAtEnqueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.suppress("ann@a.example")
		h := w.host("mx.a.example", nil, "a.example")
		b := w.host("mx.b.example", nil, "b.example")
		w.start()
		id := w.send(delivery.Message{To: delivery.To("ann@a.example", "ben@b.example"), SendAt: time.Now().Add(time.Hour)})
		w.settle(time.Second)
		w.wantStates(id, "ann@a.example bounced", "ben@b.example pending")
		if j := w.jobs(id)[0]; j.Tries != 0 || len(j.Attempts) != 0 || j.Finished.IsZero() {
			t.Errorf("the job is %+v", j)
		}
		h.wantConnections(t, 0)
		b.wantTaken(t, 0)
		w.settle(time.Hour)
		w.wantStates(id, "ann@a.example bounced", "ben@b.example delivered")
	})
}

// Those who share a job with others that wait for their time don't make it come sooner.
func TestSuppressedWaitsForNobodyElsesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.suppress("ann@a.example")
		h := w.host("mx.a.example", nil, "a.example")
		w.start()
		id := w.send(delivery.Message{To: delivery.To("ann@a.example", "ben@a.example"), SendAt: time.Now().Add(time.Hour)})
		w.settle(time.Minute)
		h.wantTaken(t, 0)
		w.settle(time.Hour)
		w.wantStates(id, "ann@a.example bounced", "ben@a.example delivered")
	})
}

func TestSuppressedIsReportedAsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		from    string
		notify  queue.Notify
		reports int
	}{
		"by default":  {"sender@home.example", 0, 1},
		"failure":     {"sender@home.example", queue.NotifyFailure, 1},
		"never":       {"sender@home.example", queue.NotifyNever, 0},
		"success":     {"sender@home.example", queue.NotifySuccess, 0},
		"null sender": {"", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.suppress("ann@a.example")
				home := w.host("mx.home.example", nil, "home.example")
				w.start()
				id := w.send(delivery.Message{From: c.from, To: []delivery.Recipient{{Address: "ann@a.example", Notify: c.notify}}})
				w.settle(time.Minute)
				w.wantStates(id, "ann@a.example bounced")
				home.wantTaken(t, c.reports)
				if b := observed[delivery.Bounced](w); len(b) != 1 || (b[0].Report != "") != (c.reports > 0) {
					t.Errorf("observed %+v", b)
				}
			})
		})
	}
}

// Who is suppressed between two attempts is not tried again, and the others are.
func TestSuppressedBeforeAttempt(t *testing.T) {
	for name, c := range map[string]struct {
		to, want []string
		tries    int
	}{
		"some": {[]string{"ann@a.example", "ben@a.example"}, []string{"ann@a.example bounced", "ben@a.example delivered"}, 2},
		"all":  {[]string{"ann@a.example"}, []string{"ann@a.example bounced"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := w.suppress("nobody@a.example")
				var ready atomic.Bool
				h := w.host("mx.a.example", func(c smtptest.Command) string {
					if c.Verb == "RCPT" && !ready.Load() {
						return "450 4.2.0 greylisted"
					}
					return ""
				}, "a.example")
				w.host("mx.home.example", nil, "home.example")
				w.start()
				id := w.enqueue(c.to...)
				w.settle(time.Second)
				s.add("ann@a.example", "complaint")
				ready.Store(true)
				before, _, _ := h.Connections()
				w.settle(time.Hour)
				w.wantStates(id, c.want...)
				j := w.jobs(id)[0]
				if j.Tries != c.tries || len(j.Attempts) != c.tries || j.Recipients[0].Reply.Text != "suppressed: complaint" {
					t.Errorf("the job is %+v", j)
				}
				h.wantTaken(t, c.tries-1)
				if now, _, _ := h.Connections(); c.tries == 1 && now != before {
					t.Errorf("%d connections for nobody", now-before)
				}
				if b := observed[delivery.Bounced](w); len(b) != 1 {
					t.Errorf("observed %+v", b)
				}
			})
		})
	}
}

// A message may be exempt.
func TestSuppressorSeesMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.suppress("ann@a.example")
		w.host("mx.a.example", nil, "a.example")
		w.start()
		id := w.send(delivery.Message{To: delivery.To("ann@a.example"), Labels: []string{"reset"}})
		w.settle(time.Second)
		w.wantStates(id, "ann@a.example delivered")
	})
}

// A report to somebody who is suppressed ends there: there is no report about it, and no attempt.
func TestSuppressedReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.suppress("sender@home.example")
		home := w.host("mx.home.example", nil, "home.example")
		w.start()
		s.add("ann@a.example", "no such user")
		w.enqueue("ann@a.example")
		w.settle(time.Hour)
		b := observed[delivery.Bounced](w)
		if len(b) != 2 || b[1].Key.ID != b[0].Report || b[1].Report != "" || b[1].Recipients[0].Address != "sender@home.example" {
			t.Errorf("observed %+v", b)
		}
		home.wantConnections(t, 0)
	})
}

// broken are ways in which a Suppressor doesn't work, and what is said of them.
var broken = map[string]struct {
	f    delivery.SuppressorFunc
	says string
}{
	"error": {func(context.Context, *queue.Message, []string) (map[string]string, error) {
		return map[string]string{"ann@a.example": ""}, errDatabase
	}, "the database is away"},
	"panic": {func(context.Context, *queue.Message, []string) (map[string]string, error) { panic("nil map") }, "nil map"},
	"slow": {func(ctx context.Context, _ *queue.Message, _ []string) (map[string]string, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}, "deadline exceeded"},
	"stranger": {func(context.Context, *queue.Message, []string) (map[string]string, error) {
		return map[string]string{"Ann@a.example": ""}, nil
	}, `it names "Ann@a.example"`},
}

var errDatabase = errors.New("the database is away")

// What can't be found out at Enqueue refuses the message.
func TestBrokenSuppressorAtEnqueue(t *testing.T) {
	for name, c := range broken {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.config.Suppressor = c.f
				w.start()
				begun := time.Now()
				_, err := w.sender.Enqueue(t.Context(), delivery.Message{To: delivery.To("ann@a.example")})
				if err == nil || !strings.HasPrefix(err.Error(), "delivery: asking the Suppressor: ") || !strings.Contains(err.Error(), c.says) {
					t.Errorf("Enqueue: %v", err)
				}
				if name == "error" && !errors.Is(err, errDatabase) {
					t.Errorf("the error isn't wrapped: %v", err)
				}
				if name == "slow" && time.Since(begun) != 10*time.Second {
					t.Errorf("it took %v", time.Since(begun))
				}
				w.settle(time.Second)
				for j := range w.queue.Jobs(t.Context(), queue.Filter{}) {
					t.Errorf("stored %+v", j)
				}
			})
		})
	}
}

// What can't be found out before an attempt keeps back no mail.
func TestBrokenSuppressorBeforeAttempt(t *testing.T) {
	for name, c := range broken {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.host("mx.a.example", nil, "a.example")
				calls := 0
				w.config.Suppressor = delivery.SuppressorFunc(func(ctx context.Context, m *queue.Message, to []string) (map[string]string, error) {
					if calls++; calls == 1 {
						return nil, nil
					}
					return c.f(ctx, m, to)
				})
				w.start()
				id := w.enqueue("ann@a.example")
				w.settle(time.Minute)
				w.wantStates(id, "ann@a.example delivered")
				trouble := observed[delivery.Trouble](w)
				if len(trouble) != 1 || trouble[0].Key.ID != id || !strings.Contains(trouble[0].Err.Error(), c.says) {
					t.Errorf("observed %+v", trouble)
				}
			})
		})
	}
}

// Run doesn't wait for a Suppressor that obeys its ctx, and what was asked about goes back.
func TestRunEndsWhileSuppressorIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.host("mx.a.example", nil, "a.example")
		w.config.Suppressor = delivery.SuppressorFunc(func(ctx context.Context, m *queue.Message, _ []string) (map[string]string, error) {
			if m.Size > 0 { // it is stored
				<-ctx.Done()
			}
			return nil, ctx.Err()
		})
		w.start()
		id := w.enqueue("ann@a.example")
		synctest.Wait()
		begun := time.Now()
		w.stop()
		if time.Since(begun) != 0 || len(observed[delivery.Trouble](w)) != 0 {
			t.Errorf("Run has ended after %v, with %v", time.Since(begun), observed[delivery.Trouble](w))
		}
		w.wantStates(id, "ann@a.example pending")
		h.wantTaken(t, 0)
		if j := w.jobs(id)[0]; j.Tries != 0 {
			t.Errorf("the job is %+v", j)
		}
	})
}
