//go:build unix

package queue_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postroad/postroad/queue"
)

// TestPostgres runs the statements of postgres.sql on a PostgreSQL of its own, which listens on a socket in a temporary
// folder only.
func TestPostgres(t *testing.T) {
	dir := startPostgres(t)
	file, err := os.ReadFile("postgres.sql")
	if err != nil {
		t.Fatal(err)
	}
	statement := regexp.MustCompile(`(?ms)^PREPARE .*?;$`)
	schema := statement.ReplaceAllString(string(file), "")
	prepared := strings.Join(statement.FindAllString(string(file), -1), "\n")
	for _, c := range []struct {
		name string
		test func(*testing.T, func() *session)
	}{
		{"Enqueue", pgEnqueue}, {"Claim", pgClaim}, {"ClaimConcurrently", pgClaimConcurrently}, {"Next", pgNext},
		{"Commit", pgCommit}, {"Ended", pgEnded}, {"Body", pgBody}, {"Jobs", pgJobs}, {"Depths", pgDepths}, {"Notes", pgNotes}, {"Shared", pgShared},
	} {
		t.Run(c.name, func(t *testing.T) {
			admin := newSession(t, dir, "postgres")
			database := "test_" + strings.ToLower(c.name)
			admin.want("CREATE DATABASE "+database, "")
			newSession(t, dir, database).want(schema, "")
			c.test(t, func() *session {
				s := newSession(t, dir, database)
				s.want(prepared, "")
				return s
			})
		})
	}
}

// startPostgres starts a server and returns the folder of its socket.
func startPostgres(t *testing.T) string {
	t.Helper()
	bin := ""
	if path, err := exec.LookPath("initdb"); err == nil {
		bin = filepath.Dir(path)
	} else if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin"); len(found) > 0 {
		bin = found[len(found)-1]
	} else if os.Getenv("CI") == "true" {
		t.Fatal("PostgreSQL is not installed")
	} else {
		t.Skip("PostgreSQL is not installed")
	}
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	command := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(bin, name), args...)
		c.Dir = dir
		if os.Getuid() == 0 { // which PostgreSQL refuses
			c.SysProcAttr = &syscall.SysProcAttr{Credential: unprivileged(t, dir)}
		}
		return c
	}
	data := filepath.Join(dir, "data")
	if out, err := command("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	server := command("postgres", "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off")
	var log strings.Builder
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGINT)
		server.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	var out []byte
	for range 600 {
		if out, err = exec.Command("psql", "-X", "-h", dir, "-U", "postgres", "-c", "SELECT 1").CombinedOutput(); err == nil {
			return dir
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("PostgreSQL doesn't start: %v\n%s", err, out)
	return ""
}

// unprivileged gives dir to a user other than root.
func unprivileged(t *testing.T, dir string) *syscall.Credential {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	t.Skip("there is no user to run PostgreSQL as")
	return nil
}

// session is a connection through psql.
type session struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

func newSession(t *testing.T, dir, database string) *session {
	t.Helper()
	c := exec.Command("psql", "-X", "-q", "--csv", "-h", dir, "-U", "postgres", "-d", database)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = w, w
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		in.Close()
		c.Wait()
		r.Close()
	})
	return &session{t, in, bufio.NewReader(r)}
}

// run runs statements and returns what psql prints.
func (s *session) run(sql string) string {
	s.t.Helper()
	fmt.Fprintf(s.in, "%s;\n\\echo --end\n", sql)
	var out strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			s.t.Fatalf("%s: %v", sql, err)
		}
		if line == "--end\n" {
			return out.String()
		}
		out.WriteString(line)
	}
}

// want runs statements, the last of which may return rows, and compares these columns of them.
func (s *session) want(sql, want string, columns ...string) {
	s.t.Helper()
	out := s.run(sql)
	records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || strings.Contains(out, "ERROR") {
		s.t.Fatalf("%.2000s\n%s", sql, out)
	}
	var rows []string
	for i, record := range records {
		var row []string
		for k, field := range record {
			if i > 0 && slices.Contains(columns, records[0][k]) {
				row = append(row, field)
			}
		}
		if i > 0 {
			rows = append(rows, strings.Join(row, "/"))
		}
	}
	if got := strings.Join(rows, " "); got != want {
		s.t.Fatalf("%.2000s\n got %s\nwant %s", sql, got, want)
	}
}

// literal quotes v, or its JSON, for SQL.
func literal(v any) string {
	s, ok := v.(string)
	if !ok {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		s = string(b)
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// noon is when all tests of statements begin.
var noon = time.Date(2041, 5, 6, 12, 0, 0, 0, time.UTC)

func moment(minutes int) string {
	return noon.Add(time.Duration(minutes) * time.Minute).Format(time.RFC3339)
}

// put enqueues a message whose jobs are in lanes of these domains, due so many minutes after noon.
func (s *session) put(id queue.ID, due int, change func(*queue.Message, []*queue.Job), domains ...string) {
	s.t.Helper()
	m := queue.Message{ID: id, From: "sender@example.org", Labels: []string{"label"}, Size: 7, Enqueued: noon, Expires: noon.Add(100 * time.Hour)}
	var jobs []*queue.Job
	for i, d := range domains {
		jobs = append(jobs, &queue.Job{
			Key: queue.Key{ID: id, N: i}, Domain: d, Due: noon.Add(time.Duration(due) * time.Minute),
			Recipients: []queue.Recipient{{Address: "a@" + d}, {Address: "b@" + d}},
		})
	}
	if change != nil {
		change(&m, jobs)
	}
	s.want(fmt.Sprintf(`EXECUTE put_message(%s, '\x01', NULL, %d)`, literal(m), len(jobs)), string(id), "id")
	s.want(fmt.Sprintf("EXECUTE put_jobs(%s, %s, 0)", literal(m), literal(jobs)), "")
}

func held(_ *queue.Message, jobs []*queue.Job) { jobs[0].Held = true }

func expiring(minutes int) func(*queue.Message, []*queue.Job) {
	return func(m *queue.Message, _ []*queue.Job) { m.Expires = noon.Add(time.Duration(minutes) * time.Minute) }
}

// claim is a statement that leases for ten minutes.
func claim(now, limit int, expired bool, lanes string) string {
	return fmt.Sprintf("EXECUTE claim('%s', '10 minutes', %d, 'me', %t, %s)", moment(now), limit, expired, lanes)
}

// lanes is an array of lanes of first attempts, N jobs of each.
func lanes(n int, domains ...string) string { return lanesOf(false, n, domains) }

// retries is an array of lanes of retries, N jobs of each.
func retries(n int, domains ...string) string { return lanesOf(true, n, domains) }

func lanesOf(retry bool, n int, domains []string) string {
	list := []map[string]any{}
	for _, d := range domains {
		list = append(list, map[string]any{"Domain": d, "Tenant": "", "Priority": 0, "Retry": retry, "N": n})
	}
	return literal(list)
}

func pgEnqueue(t *testing.T, open func() *session) {
	s := open()
	s.put("a", 0, nil, "a.example", "b.example")
	m := literal(queue.Message{ID: "a", Labels: []string{}})
	s.want(`EXECUTE put_message(`+m+`, '\x01', NULL, 1)`, "")
	s.want(`EXECUTE same_digest('a', '\x01')`, "t", "?column?")
	s.want(`EXECUTE same_digest('a', '\x02')`, "f", "?column?")
	s.want("SELECT id, n, domain, due = '"+moment(0)+"' AS due, finished FROM jobs ORDER BY n", "a/0/a.example/t/ a/1/b.example/t/",
		"id", "n", "domain", "due", "finished")
}

func pgClaim(t *testing.T, open func() *session) {
	s := open()
	high := func(m *queue.Message, _ []*queue.Job) { m.Priority = queue.High }
	s.put("a", 0, nil, "a.example", "a.example", "b.example")
	s.put("b", -1, nil, "a.example")
	s.put("high", 0, high, "a.example")
	s.put("later", 60, nil, "a.example")
	s.put("held", -9, held, "a.example")
	s.want(claim(0, 3, false, "NULL"), "high/0 b/0 a/0", "id", "n")
	s.want(claim(0, 9, false, lanes(1, "b.example", "a.example")), "a/2 a/1", "id", "n")
	s.want(claim(0, 9, false, lanes(9)), "", "id")
	s.want(claim(10, 1, false, lanes(9, "a.example")), "b/1", "id", "lapses")
	s.want(claim(20, 9, true, "NULL"), "high/1 b/2 a/1 a/1 a/1", "id", "lapses")

	s.put("x-held", 0, func(m *queue.Message, jobs []*queue.Job) { expiring(1)(m, jobs); held(m, jobs) }, "c.example")
	s.put("x-excluded", 90, expiring(0), "d.example")
	s.put("c", 0, nil, "c.example")
	s.want(claim(25, 9, true, lanes(1, "c.example")), "x-excluded x-held c", "id")

	s.put("tried", 0, func(_ *queue.Message, jobs []*queue.Job) { jobs[0].Tries = 1 }, "t.example", "t.example")
	s.want(claim(25, 9, false, lanes(9, "t.example")), "tried/1", "id", "n")
	s.want(claim(25, 9, false, retries(9, "t.example")), "tried/0", "id", "n")

	s.put("k", 60, held, "k.example", "k.example")
	s.want(`EXECUTE claim_keys('`+moment(25)+`', '1 minute', 9, 'me',
		'[{"ID":"k","N":1},{"ID":"no","N":0},{"ID":"c","N":0},{"ID":"k","N":0},{"ID":"k","N":1}]')`, "k/1 k/0", "id", "n")
	s.want("SELECT count(token) = count(DISTINCT token) AS differ FROM jobs", "t", "differ")
}

func pgClaimConcurrently(t *testing.T, open func() *session) {
	first, second := open(), open()
	for _, id := range []queue.ID{"a", "b", "c", "d"} {
		first.put(id, 0, nil, "a.example")
	}
	first.want("BEGIN", "")
	first.want(claim(0, 1, false, "NULL"), "a", "id")
	second.want(claim(0, 1, false, "NULL"), "b", "id") // neither waits nor takes the first one's
	second.want(claim(0, 1, false, lanes(1, "a.example")), "c", "id")
	first.want("COMMIT", "")
	second.want(claim(0, 9, true, "NULL"), "d", "id")
}

func pgNext(t *testing.T, open func() *session) {
	s := open()
	s.run("SET TIME ZONE 'UTC'")
	next := func(now int, expired bool, lanes string) string {
		return fmt.Sprintf("EXECUTE next('%s', %t, %s)", moment(now), expired, lanes)
	}
	s.want(next(0, true, "NULL"), "0/", "i", "at")
	s.put("a", 0, nil, "a.example")
	s.put("b", 30, nil, "b.example")
	s.put("held", 0, func(m *queue.Message, jobs []*queue.Job) { held(m, jobs); expiring(20)(m, jobs) }, "c.example")
	s.want(claim(0, 9, false, "NULL"), "a", "id")
	l := lanes(1, "b.example", "c.example", "a.example")
	s.want(next(0, false, l), "0/2041-05-06 12:10:00+00 1/2041-05-06 12:30:00+00 2/ 3/2041-05-06 12:10:00+00", "i", "at")
	s.want(next(0, true, lanes(9)), "0/2041-05-06 12:20:00+00", "i", "at")
	s.want(next(0, false, "NULL"), "0/2041-05-06 12:10:00+00", "i", "at")
	s.want(next(45, false, lanes(0, "b.example")), "0/2041-05-06 12:30:00+00 1/2041-05-06 12:30:00+00", "i", "at")
	s.put("c", 40, func(_ *queue.Message, jobs []*queue.Job) { jobs[0].Tries = 3 }, "b.example")
	s.want(next(0, false, retries(1, "b.example", "a.example")), "0/2041-05-06 12:40:00+00 1/2041-05-06 12:40:00+00 2/", "i", "at")
}

// token is that of the latest claim of a job.
func (s *session) token(id queue.ID) string {
	return strings.Fields(s.run("SELECT coalesce(token, spent) FROM jobs WHERE id = '" + string(id) + "'"))[1]
}

func pgCommit(t *testing.T, open func() *session) {
	s := open()
	s.put("a", 0, nil, "a.example")
	s.want(claim(0, 9, false, "NULL"), "a", "id")
	stale := s.token("a")
	s.want(claim(10, 9, false, "NULL"), "a", "id")
	token := s.token("a")
	s.want("EXECUTE owner('a', 0, "+stale+")", "")
	s.want("EXECUTE owner('a', 0, 0)", "")
	s.want("EXECUTE owner('a', 0, "+token+")", "leased", "case")

	j := queue.Job{Domain: "a.example", Due: noon, Finished: noon, Recipients: []queue.Recipient{
		{Address: "a@a.example", State: queue.Bounced}, {Address: "b@a.example", State: queue.Delivered}}}
	replace := "EXECUTE replace('a', 0, " + token + ", " + literal(j) + ")"
	s.want("BEGIN; "+replace, "")
	s.want("EXECUTE finish('a')", "")
	s.put("bounce", 0, nil, "b.example")
	s.want("ROLLBACK; SELECT id, finished FROM jobs", "a/", "id", "finished") // all or nothing
	s.want("BEGIN; "+replace, "")
	s.want("EXECUTE finish('a')", "")
	s.put("bounce", 0, nil, "b.example")
	s.want("COMMIT; SELECT id, finished IS NULL AS open, leased FROM jobs ORDER BY id", "a/f/ bounce/t/", "id", "open", "leased")
	s.want("EXECUTE owner('a', 0, "+token+")", "repeated", "case")
	s.want("SELECT recipients->0->>'Mark' < recipients->1->>'Mark' AS marked FROM jobs WHERE id = 'a'", "t", "marked")
	s.want("SELECT mark FROM jobs WHERE id = 'bounce'", "0", "mark")
}

func pgBody(t *testing.T, open func() *session) {
	s := open()
	s.want("EXECUTE new_body", "1", "body")
	s.want(`EXECUTE put_chunk(1, 0, 'one')`, "")
	s.want(`EXECUTE put_chunk(1, 1, 'two')`, "")
	s.want(`EXECUTE put_chunk(1, -1, 'head')`, "") // when the body was read
	m := literal(queue.Message{ID: "a", Labels: []string{}, Size: 10})
	s.want(`EXECUTE put_message(`+m+`, '\x01', 1, 2)`, "a", "id")
	s.want("EXECUTE open('a')", "1/10", "body", "int8")
	for i, chunk := range []string{`\x68656164`, `\x6f6e65`, `\x74776f`, ""} {
		s.want(fmt.Sprintf("EXECUTE read(1, %d)", i-2), chunk, "octets")
	}
	s.want("EXECUTE new_body", "2", "body") // of a process that dies
	s.want("EXECUTE sweep('infinity')", "")
	s.want("SELECT body FROM bodies", "1", "body")
	s.want("EXECUTE finish('a')", "")
	s.want("EXECUTE open('a')", "1/10", "body", "int8")
	s.want("EXECUTE finish('a')", "")
	s.want("EXECUTE open('a')", "")
	s.want("SELECT count(*) FROM chunks", "0", "count")
}

func pgNotes(t *testing.T, open func() *session) {
	s := open()
	for _, k := range []string{"a/2", "a/1", "b", "a"} {
		s.want("EXECUTE set_note('"+k+"', '')", "")
	}
	s.want("EXECUTE set_note('b', 'x')", "")
	s.want("EXECUTE get_note('b')", `\x78`, "value")
	s.want("EXECUTE get_note('a')", `\x`, "value")
	s.want("EXECUTE note_keys('a/', '', 9)", `\x612f31 \x612f32`, "key")
	s.want("EXECUTE note_keys('', 'a/1', 1)", `\x612f32`, "key")
	s.want("EXECUTE remove_note('b')", "")
	s.want("EXECUTE get_note('b')", "")
}

func pgShared(t *testing.T, open func() *session) {
	s := open()
	s.want("EXECUTE beat('me', '1 hour', '{\"site\": 5, \"mine\": 3}')", "")
	s.want("EXECUTE have('me')", "mine/3 site/5", "site", "have")
	s.want("EXECUTE beat('you', '1 hour', '{\"site\": 5}')", "")
	s.want("EXECUTE have('me')", "mine/3 site/3", "site", "have")
	s.want("EXECUTE have('you')", "site/2", "site", "have")

	s.put("a", 0, nil, "a.example")
	s.want(claim(0, 9, false, "NULL"), "a", "id")
	s.want("EXECUTE free", "")
	s.want(claim(1, 9, false, "NULL"), "", "id")
	s.want("EXECUTE beat('me', '-1 hour', '{}')", "") // silent since
	s.want("EXECUTE free", "")
	s.want(claim(1, 9, false, "NULL"), "a/1", "id", "lapses")
}
