package delivery

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/internal/notes"
	"github.com/postroad/postroad/delivery/internal/schedule"
)

// FuzzBulletin has a scheduler hear what any note may say.
func FuzzBulletin(f *testing.F) {
	f.Add([]byte(`{"Until":"2026-01-02T03:24:05Z","Flushes":[{"Site":"mx.a.example","At":"2026-01-02T03:04:05Z"}],"Troubles":null,"Levels":{"3":1}}`))
	f.Add([]byte(`{"Troubles":[{"Site":"mx.a.example","Since":"2026-01-02T03:04:05Z","Until":"2026-01-02T03:05:05Z","Why":"450 later","Rests":60000000000,
		"Slow":[{"Order":{"rule":"slow","action":"slow","for":"1h","connections":1},"Until":"2026-01-02T04:04:05Z"}]}]}`))
	f.Add([]byte(`{"Troubles":[{"Site":"","Rests":-1,"Slow":[{"Order":{"rule":"x","action":"slow","rate":{"n":-1,"per":"1s"}}}]}]}`))
	f.Add([]byte(`null`))
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, note []byte) {
		var b bulletin
		if notes.Parse(note, &b) != nil {
			return
		}
		s := schedule.New(schedule.Config{Total: 10, Shared: true})
		for i := range 3 {
			now := start.Add(time.Duration(i) * 10 * time.Minute)
			s.Step(now, schedule.Heard{News: schedule.News{Troubles: b.Troubles, Flushes: b.Flushes}})
			s.Step(now, schedule.Shares{Until: now.Add(time.Minute)})
			s.Needs(now, 10)
			if again, err := json.Marshal(s.News(now)); err != nil || len(again) > 2*maxBulletin+100*len(note) {
				t.Errorf("%d octets, %v", len(again), err)
			}
		}
	})
}
