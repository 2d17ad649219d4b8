package pgqueue_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/pgqueue"
)

func readJobs(t *testing.T, q *pgqueue.Queue) (jobs []*queue.Job) {
	t.Helper()
	for j, err := range q.Jobs(t.Context(), queue.Filter{}) {
		must(t, err)
		jobs = append(jobs, j)
	}
	return jobs
}

// readOrders returns the names of the orders that were committed.
func readOrders(t *testing.T, w *killWorld) map[string]bool {
	t.Helper()
	orders := make(map[string]bool)
	rows, err := w.pool.Query(t.Context(), "SELECT name FROM "+ordersOf(w.schema))
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		must(t, rows.Scan(&name))
		orders[name] = true
	}
	must(t, rows.Err())
	return orders
}

// evidence is what the claims are checked against: what was said, what arrived, and what is stored in the end. Each of its
// checks returns what speaks against a claim.
type evidence struct {
	*killWorld
	jobs   []*queue.Job
	orders map[string]bool
}

func (e *evidence) lost() (broken []string) {
	for name := range e.queued {
		if e.arrived[name] == nil {
			broken = append(broken, name)
		}
	}
	return broken
}

func (e *evidence) divided() (broken []string) {
	mail := make(map[string]bool)
	for _, j := range e.jobs {
		if name := nameOf(j.Message.From); isOrder(name) {
			mail[name] = true
			if !e.orders[name] {
				broken = append(broken, fmt.Sprintf("%s has no order", name))
			}
		}
	}
	for name := range e.orders {
		if !mail[name] {
			broken = append(broken, fmt.Sprintf("%s has no mail", name))
		}
	}
	return broken
}

func (e *evidence) unknown() (broken []string) {
	stored := make(map[string]bool)
	for _, j := range e.jobs {
		stored[nameOf(j.Message.From)] = true
	}
	for name := range e.arrived {
		if !stored[name] {
			broken = append(broken, name)
		}
	}
	return broken
}

func (e *evidence) unfinished() (broken []string) {
	for _, j := range e.jobs {
		if j.Finished.IsZero() || j.Recipients[0].State != queue.Delivered || e.arrived[nameOf(j.Message.From)] == nil {
			broken = append(broken, fmt.Sprintf("%s is %v, copies of %v", j.Key, j.Recipients[0].State, e.arrived[nameOf(j.Message.From)]))
		}
	}
	return broken
}

// duplicates looks at no clock: who lives stores what it has sent, and what was said to be stored binds everybody.
func (e *evidence) duplicates() (broken []string) {
	for name, lives := range e.arrived {
		for i, life := range lives[:len(lives)-1] {
			if !e.dead[life] || e.stored[name] == life || slices.Contains(lives[i+1:], life) {
				broken = append(broken, fmt.Sprintf("%s: copies of lives %v, stored by %d", name, lives, e.stored[name]))
				break
			}
		}
	}
	return broken
}

// crowded goes by the lower of two counts. The server's own still has connections that were closed a moment ago; that of greetings
// still has those that a living process has closed without a word.
func (e *evidence) crowded() (broken []string) {
	if _, most, _ := e.capped.Connections(); min(most, e.most) > cappedAt {
		broken = append(broken, fmt.Sprintf("%d connections, %d by greetings", most, e.most))
	}
	return broken
}

func (e *evidence) starved() (broken []string) {
	for domain, site := range e.waits {
		if site.longest > longestWait {
			broken = append(broken, fmt.Sprintf("%s: %v", domain, site.longest))
		}
	}
	return broken
}

// String says how much there was.
func (e *evidence) String() string {
	duplicates, unsettled := 0, 0
	for name, lives := range e.arrived {
		duplicates += len(lives) - 1
		for _, life := range lives {
			if e.dead[life] && e.stored[name] != life {
				unsettled++
			}
		}
	}
	var others time.Duration
	for domain, site := range e.waits {
		if domain != cappedDomain {
			others = max(others, site.longest)
		}
	}
	_, most, _ := e.capped.Connections()
	return fmt.Sprintf("%d kills; %d messages stored, %d acknowledged, %d with orders; %d past their final dots at a kill made %d duplicates; "+
		"%d connections at once at the site with a cap, %d by greetings; it went without a delivery for %v, another site for %v; "+
		"%d jobs were released; %d complaints, such as %.300q",
		len(e.dead), len(e.jobs), len(e.queued), len(e.orders), unsettled, duplicates,
		most, e.most, e.waits[cappedDomain].longest.Round(time.Millisecond), others.Round(time.Millisecond),
		e.released, len(e.trouble), e.trouble[:min(len(e.trouble), 5)])
}

// isOrder reports whether a message is stored with an order, if it is.
func isOrder(name string) bool {
	var life, n int
	if strings.HasSuffix(name, "-last") {
		return true
	}
	fmt.Sscanf(name, "%d-%d", &life, &n)
	return life > 0 && n%2 == 1
}
