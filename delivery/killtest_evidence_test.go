package delivery_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/postroad/postroad/delivery/dsn"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/boltqueue"
)

// readJobs returns all jobs that are stored in a file.
func readJobs(t *testing.T, file string) (jobs []*queue.Job) {
	t.Helper()
	q, err := boltqueue.Open(file, boltqueue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for j, err := range q.Jobs(context.Background(), queue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// evidence is what the claims are checked against: what was said, what arrived, and what is stored in the end. Each of its
// checks returns what speaks against a claim.
type evidence struct {
	*killWorld
	jobs   []*queue.Job
	ledger []entry
}

func isReport(j *queue.Job) bool { return j.Message.From == "" }

func (e *evidence) lost() (broken []string) {
	stored := make(map[queue.ID]string)
	for _, j := range e.jobs {
		stored[j.Key.ID] = j.Message.From
	}
	for id, from := range e.queued {
		if stored[id] != from {
			broken = append(broken, fmt.Sprintf("%s from %s", id, from))
		}
	}
	return broken
}

func (e *evidence) partial() (broken []string) {
	to := make(map[string][]string)
	for _, j := range e.jobs {
		for _, r := range j.Recipients {
			if !isReport(j) {
				to[j.Message.From] = append(to[j.Message.From], r.Address)
			}
		}
	}
	for from, got := range to {
		_, m := killMailOf(from)
		want := m.to()
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			broken = append(broken, fmt.Sprintf("%s to %v, not %v", from, got, want))
		}
	}
	return broken
}

func (e *evidence) unknown() (broken []string) {
	stored := make(map[parcel]bool)
	for _, j := range e.jobs {
		for _, r := range j.Recipients {
			stored[parcel{j.Key.ID, r.Address}] = true
		}
	}
	for p := range e.arrived {
		if !stored[p] {
			broken = append(broken, fmt.Sprint(p))
		}
	}
	return broken
}

func (e *evidence) altered() []string { return e.wrong }

func (e *evidence) undelivered() (broken []string) {
	for _, j := range e.jobs {
		for _, r := range j.Recipients {
			p := parcel{j.Key.ID, r.Address}
			got := slices.ContainsFunc(e.arrived[p], func(a arrival) bool { return a.answered })
			if got == refused(r.Address) {
				broken = append(broken, fmt.Sprintf("%s: %v", p, e.arrived[p]))
			}
		}
	}
	return broken
}

// duplicates looks at no clock: however slow a disk is, a process that lives stores an answer before it tries again, and what it
// says it has stored binds every later one.
func (e *evidence) duplicates() (broken []string) {
	for p, copies := range e.arrived {
		for i, a := range copies {
			again := a.answered && slices.ContainsFunc(copies[i+1:], func(b arrival) bool { return b.life == a.life })
			life, stored := e.stored[p]
			if again || stored && a.life > life {
				broken = append(broken, fmt.Sprintf("%s: %v", p, copies))
				break
			}
		}
	}
	return broken
}

func (e *evidence) unsettled() (broken []string) {
	for life, jobs := range e.unsettledJobs() {
		if len(jobs) > lifeUnsettled {
			broken = append(broken, fmt.Sprintf("%d jobs of life %d", len(jobs), life))
		}
	}
	return broken
}

// unsettledJobs returns for each life which jobs a server took and the process didn't live to say so.
func (e *evidence) unsettledJobs() map[int]map[parcel]bool {
	lives := make(map[int]map[parcel]bool)
	for p, copies := range e.arrived {
		for _, a := range copies {
			if life, stored := e.stored[p]; !a.answered || stored && life == a.life {
				continue
			}
			if lives[a.life] == nil {
				lives[a.life] = make(map[parcel]bool)
			}
			_, domain, _ := strings.Cut(p.to, "@")
			lives[a.life][parcel{p.id, domain}] = true
		}
	}
	return lives
}

// unreported returns a check of the reports of one kind.
func (e *evidence) unreported(action dsn.Action) func() []string {
	return func() (broken []string) {
		for _, j := range e.jobs {
			if isReport(j) {
				continue
			}
			for _, r := range j.Recipients {
				n := told{action, r.Address}
				reports := e.reported[n]
				if due, known := n.due(j); len(reports) > 1 || known && due != (len(reports) == 1) {
					broken = append(broken, fmt.Sprintf("%v: reports %v; attempts %+v", n, reports, j.Attempts))
				}
			}
		}
		return broken
	}
}

func (e *evidence) scattered() (broken []string) {
	for _, j := range e.jobs {
		reports := make(map[queue.ID]bool)
		for _, r := range j.Recipients {
			for _, action := range []dsn.Action{dsn.Failed, dsn.Delayed, dsn.Relayed} {
				maps.Copy(reports, e.reported[told{action, r.Address}])
			}
		}
		if len(reports) > j.Tries {
			broken = append(broken, fmt.Sprintf("%s: reports %v of %d attempts", j.Key, reports, j.Tries))
		}
	}
	return broken
}

func (e *evidence) both() (broken []string) {
	for p, copies := range e.arrived {
		if reports := e.reported[told{dsn.Failed, p.to}]; len(reports) > 0 {
			broken = append(broken, fmt.Sprintf("%s: %v, reports %v", p, copies, reports))
		}
	}
	return broken
}

func (e *evidence) unfinished() (broken []string) {
	for _, j := range e.jobs {
		if j.Finished.IsZero() {
			broken = append(broken, fmt.Sprintf("%s is not finished: held %v, due %v, %d lapses, %d tries, %+v", j.Key, j.Held, j.Due, j.Lapses, j.Tries, j.Attempts))
		}
		for _, r := range j.Recipients {
			if want := map[bool]queue.State{false: queue.Delivered, true: queue.Bounced}[refused(r.Address)]; r.State != want {
				broken = append(broken, fmt.Sprintf("%s: %s is %v", j.Key, r.Address, r.State))
			}
		}
	}
	return broken
}

// String says how much there was.
func (e *evidence) String() string {
	messages, reports := make(map[queue.ID]bool), make(map[queue.ID]bool)
	recipients := 0
	for _, j := range e.jobs {
		if isReport(j) {
			reports[j.Key.ID] = true
			continue
		}
		messages[j.Key.ID] = true
		recipients += len(j.Recipients)
	}
	news := make(map[dsn.Action]int)
	for n := range e.reported {
		news[n.action]++
	}
	drops, duplicates, unsettled := 0, 0, 0
	for _, copies := range e.arrived {
		duplicates += len(copies) - 1
		for _, a := range copies {
			if !a.answered {
				drops++
			}
		}
	}
	for _, jobs := range e.unsettledJobs() {
		unsettled += len(jobs)
	}
	return fmt.Sprintf("%d kills; %d messages stored, %d acknowledged; %d recipients, of whom %v was told in %d reports; "+
		"%d copies dropped and %d jobs unsettled by kills made %d duplicates",
		*killRounds, len(messages), len(e.queued), recipients, news, len(reports), drops, unsettled, duplicates)
}
