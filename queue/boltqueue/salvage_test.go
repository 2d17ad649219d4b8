package boltqueue

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/postroad/postroad/queue"
	bolt "go.etcd.io/bbolt"
)

var salvageAll = flag.Bool("salvage.all", false, "have TestSalvage damage every page in its turn, instead of some")

// stand is a job with its body, as a queue shows it.
type stand struct {
	queue.Job
	body []byte // nil if it is finished, or can't be read
}

// stands are all jobs of a queue.
func stands(t *testing.T, q *Queue) map[queue.Key]stand {
	t.Helper()
	ctx := context.Background()
	all := map[queue.Key]stand{}
	for j, err := range q.Jobs(ctx, queue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		s := stand{Job: *j}
		if r, err := q.Open(ctx, j.Key.ID); err == nil {
			if s.body, err = io.ReadAll(r); err != nil {
				s.body = nil
			}
		}
		all[j.Key] = s
	}
	return all
}

// places are the parts of a file that a job depends on: from an octet to another.
func places(t *testing.T, path string) map[queue.Key][][2]int64 {
	t.Helper()
	s, err := openSurvey(path, func(problem string) { t.Fatalf("the sample: %s", problem) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	span := func(at location) [2]int64 {
		from := int64(at.page)*s.pageSize + at.at
		return [2]int64{from, from + at.size}
	}
	found := map[queue.Key][][2]int64{}
	messages := map[queue.ID][][2]int64{}
	var records []*messageRecord
	s.each(messagesBucket, func(key []byte, at location) {
		m, err := s.message(key, at)
		if err != nil {
			t.Fatal(err)
		}
		messages[m.ID] = append(messages[m.ID], span(at))
		records = append(records, m)
	})
	segments := s.bodies()
	for _, m := range records {
		for _, c := range s.chunks(segments[m.Body]) {
			messages[m.ID] = append(messages[m.ID], span(c.location))
		}
	}
	s.each(jobsBucket, func(key []byte, at location) {
		j, err := s.job(key, at)
		if err != nil {
			t.Fatal(err)
		}
		found[j.Key] = append(messages[j.Key.ID], span(at))
	})
	return found
}

// What has no damage is salvaged, whatever else has.
func TestSalvage(t *testing.T) {
	dir := memoryDir(t)
	for name, b := range richSamples(t) {
		sample := filepath.Join(dir, name)
		if err := os.WriteFile(sample, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if problems := checkFile(t, sample); len(problems) > 0 {
			t.Errorf("%s: %q", name, problems)
		}
		m := newest(t, b)
		places := places(t, sample)
		uses, err := pagesInUse(sample)
		if err != nil {
			t.Fatal(err)
		}
		opened := filepath.Join(dir, "opened.db")
		copyFile(t, sample, opened)
		q := mustOpen(t, opened, Options{})
		want := stands(t, q)
		for id := uint64(0); id < m.highWater; id++ {
			if id > 1 && (!uses(id) || !*salvageAll && rand.IntN(200) > 0) {
				continue
			}
			damaged := bytes.Clone(b)
			clear(damaged[int64(id)*m.pageSize:][:m.pageSize])
			t.Run(fmt.Sprintf("%s without page %d", name, id), func(t *testing.T) {
				from, to := filepath.Join(dir, "from.db"), filepath.Join(dir, "to.db")
				if err := os.WriteFile(from, damaged, 0o600); err != nil {
					t.Fatal(err)
				}
				found, err := Salvage(from, to, func(string) {})
				if err != nil {
					t.Fatal(err)
				}
				defer os.Remove(to)
				checkSalvaged(t, to, want, func(k queue.Key) bool {
					for _, p := range places[k] {
						if p[0] < int64(id+1)*m.pageSize && p[1] > int64(id)*m.pageSize {
							return true
						}
					}
					return false
				}, found)
				if after, err := os.ReadFile(from); err != nil || !bytes.Equal(after, damaged) {
					t.Error("the damaged file was changed")
				}
			})
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		os.Remove(opened)
	}
}

func checkSalvaged(t *testing.T, path string, want map[queue.Key]stand, hit func(queue.Key) bool, found Salvaged) {
	t.Helper()
	problems := checkFile(t, path)
	if len(problems) > found.Cut {
		t.Errorf("the new file: %q", problems)
	}
	q, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	got := stands(t, q)
	held := 0
	for k, w := range want {
		g, ok := got[k]
		if hit(k) {
			continue
		}
		if !ok {
			t.Errorf("the job %q is lost", k)
			continue
		}
		if g.Held && !w.Held {
			held++
			g.Held = false
		}
		if !bytes.Equal(g.body, w.body) {
			t.Errorf("the body of %q is lost: %d octets, not %d", k.ID, len(g.body), len(w.body))
		}
		if !reflect.DeepEqual(g.Job, w.Job) {
			t.Errorf("the job %q is %+v, was %+v", k, g.Job, w.Job)
		}
	}
	if held > found.Held {
		t.Errorf("%d jobs are held, not %d", held, found.Held)
	}
}

func checkFile(t *testing.T, path string) (problems []string) {
	t.Helper()
	if err := Check(path, func(problem string) { problems = append(problems, problem) }); err != nil {
		t.Fatal(err)
	}
	return problems
}

// What Check finds: each kind of damage to what a queue knows.
func TestCheck(t *testing.T) {
	for name, edit := range map[string]func(x *tx) error{
		"an index has no entry":      func(x *tx) error { return x.lanes().Delete(firstKey(x.lanes())) },
		"that belongs to no job":     func(x *tx) error { return put(x.expiry(), entryKey(nil, start, queue.Key{ID: "x"}), nil) },
		"has no message":             func(x *tx) error { return x.messages().Delete([]byte("m50")) },
		"its record says":            func(x *tx) error { return x.jobs().Delete(jobKey(queue.Key{ID: "m50"})) },
		"octets that can be read":    func(x *tx) error { return deleteBody(x, bodyOf(x, "m59")) },
		"that belongs to no message": func(x *tx) error { _, err := x.bodies().CreateBucket(segmentKey(1000, headPart, 0)); return err },
		"wrong checksum":             func(x *tx) error { return x.notes().Put([]byte("note"), []byte("a value like no other")) },
		"the file says":              func(x *tx) error { return putNumber(x.lanes().Tx().Bucket([]byte(fileBucket)), unfinishedKey, 1000) },
		"claimed":                    func(x *tx) error { return x.claimed().Put(jobKey(queue.Key{ID: "x"}), []byte("a note like no other")) },
		"there is no bucket":         func(x *tx) error { return x.lanes().Tx().DeleteBucket([]byte(marksBucket)) },
	} {
		path := write(t, sample(t))
		q := mustOpen(t, path, Options{})
		if err := q.submit(context.Background(), changeFunc(edit), 0); err != nil {
			t.Fatal(err)
		}
		if err := Check(path, func(string) {}); !errors.Is(err, queue.ErrLocked) {
			t.Errorf("Check of a file that is open: error %v", err)
		}
		if err := q.Close(); err != nil && !errors.Is(err, queue.ErrDamaged) {
			t.Fatal(err)
		}
		problems := checkFile(t, path)
		if len(problems) == 0 || !bytes.Contains([]byte(fmt.Sprint(problems)), []byte(name)) {
			t.Errorf("%q was not found: %q", name, problems)
		}
	}
}

func firstKey(b interface{ Cursor() *bolt.Cursor }) []byte {
	k, _ := b.Cursor().First()
	return bytes.Clone(k)
}

func bodyOf(x *tx, id queue.ID) uint64 {
	m, err := x.message(id)
	if err != nil || m == nil {
		return 0
	}
	return m.Body
}
