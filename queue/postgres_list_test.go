//go:build unix

package queue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

func pgJobs(t *testing.T, open func() *session) {
	s := open()
	s.put("b", 5, nil, "a.example", "b.example")
	s.put("a", 6, nil, "a.example")
	s.put("C", 0, held, "a.example")
	jobs := func(filter string) string { return "EXECUTE jobs(" + filter + ")" }
	s.want(jobs("NULL,NULL,NULL,NULL,NULL,NULL,false,'',-1,9"), "C/0 a/0 b/0 b/1", "id", "n")
	s.want(jobs("NULL,NULL,NULL,NULL,NULL,NULL,true,'a',0,1"), "b/0", "id", "n")
	s.want(jobs("NULL,'b.example','','sender@example.org','a@b.example','label',false,'',-1,9"), "b/1", "id", "n")
	s.want(jobs("NULL,NULL,NULL,NULL,NULL,'other',false,'',-1,9"), "", "id")
	s.want("EXECUTE heads", "b/0 b/1", "id", "n")
	s.want(claim(5, 1, false, lanes(1, "a.example")), "b/0", "id", "n")
	s.want("EXECUTE heads", "a/0 b/1", "id", "n")

	j := queue.Job{Domain: "a.example", Tries: 1, Due: noon.Add(time.Minute), Recipients: []queue.Recipient{{}, {}}}
	s.want("EXECUTE replace('b', 0, "+s.token("b")+", "+literal(j)+")", "")
	s.want("EXECUTE heads", "a/0 b/0 b/1", "id", "n") // in a lane of its own
}

func pgDepths(t *testing.T, open func() *session) {
	s := open()
	s.run("SET TIME ZONE 'UTC'")
	s.put("a", 0, nil, "a.example", "a.example", "b.example")
	s.put("b", 5, held, "a.example", "a.example")
	s.put("c", 0, func(_ *queue.Message, jobs []*queue.Job) { jobs[0].Tries = 1 }, "a.example")
	s.want(claim(0, 1, false, lanes(1, "a.example")), "a/0", "id", "n")
	depths := func(now int) string {
		return "EXECUTE depths('" + moment(now) + "')"
	}
	s.want(depths(0), "a.example/f/2/1/1/2041-05-06 12:00:00+00 a.example/t/1/0/0/2041-05-06 12:00:00+00 b.example/f/1/0/0/2041-05-06 12:00:00+00",
		"domain", "retry", "waiting", "leased", "held", "due")
	s.want(depths(10), "a.example/f/3/0/1 a.example/t/1/0/0 b.example/f/1/0/0", "domain", "retry", "waiting", "leased", "held")
}

func pgEnded(t *testing.T, open func() *session) {
	first, second := open(), open()
	done := func(_ *queue.Message, jobs []*queue.Job) {
		jobs[0].Recipients[0].State, jobs[0].Recipients[1].State, jobs[0].Finished = queue.Delivered, queue.Withdrawn, noon
	}
	first.want("BEGIN", "")
	first.put("early", 0, done, "a.example")
	second.put("late", 0, done, "a.example")
	second.want("EXECUTE ended(0, 9)", "", "id") // late has to wait: early may have a smaller mark
	first.want("COMMIT", "")
	second.want("EXECUTE ended(0, 9)", "early late", "id")
	second.want("EXECUTE ended(0, 1)", "early", "id")
	since := strings.Fields(second.run("SELECT mark FROM jobs WHERE id = 'early'"))[1]
	second.want("EXECUTE ended("+since+", 9)", "late", "id")
	second.want("SELECT count(DISTINCT r->>'Mark') FROM jobs, jsonb_array_elements(recipients) AS list(r)", "4", "count")
}
