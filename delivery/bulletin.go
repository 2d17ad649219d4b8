package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/postroad/postroad/delivery/internal/notes"
	"github.com/postroad/postroad/delivery/internal/schedule"
	"github.com/postroad/postroad/queue"
)

const (
	// Each Run that shares its queue has a note of its own under this prefix.
	bulletinPrefix = "delivery/shared/"
	// changedKey is the note that is another one whenever rules or limits have changed.
	changedKey = "delivery/changed"
	// bulletinTime is how long a bulletin counts; half of that is how long it stays if it says nothing new.
	bulletinTime = 20 * time.Minute
	// maxBulletins bounds those that are read, and maxBulletin their size, in octets. Troubles that one has no room for, of which the
	// oldest come last, are for others to find out by themselves.
	maxBulletins, maxBulletin = 100, 48 << 10
)

// bulletin is what a Run tells the others.
type bulletin struct {
	Until    time.Time // when it doesn't count any more
	Flushes  []schedule.Flushed
	Troubles []schedule.Trouble
	// Levels is how often each part of what is known of TLS was stored. More often than before: it is to be read again.
	Levels map[int]uint64
}

// bulletins are what was told and heard.
type bulletins struct {
	told  note
	heard map[string]note // by key
}

// note is a bulletin as it stands in the queue; of one's own, but for Until.
type note struct {
	text   []byte
	until  time.Time
	levels map[int]uint64
}

// publish tells what this process has found out, if that is new.
func (s *sharing) publish(ctx context.Context, news schedule.News) {
	n, err := s.notes()
	if err != nil {
		return
	}
	b := bulletin{Flushes: news.Flushes, Levels: s.levels.stored()}
	text, err := json.Marshal(&b)
	for size := len(text); err == nil && len(news.Troubles) > 0; news.Troubles = news.Troubles[1:] {
		var t []byte
		if t, err = json.Marshal(&news.Troubles[0]); size+len(t) > maxBulletin {
			break
		}
		size += len(t) + 1
		b.Troubles = append(b.Troubles, news.Troubles[0])
	}
	if err == nil {
		text, err = json.Marshal(&b)
	}
	now, told := s.now(), &s.board.told
	empty := len(b.Troubles)+len(b.Flushes)+len(b.Levels) == 0
	if err == nil && (bytes.Equal(text, told.text) && told.until.Sub(now) > bulletinTime/2 || empty && told.text == nil) {
		return
	}
	if err == nil {
		var whole []byte
		b.Until = now.Add(bulletinTime)
		if whole, err = json.Marshal(&b); err == nil {
			err = guard(func() error { return n.Set(ctx, bulletinPrefix+s.holder, whole) })
		}
	}
	if err != nil {
		s.failing(ctx, "telling others", err)
		return
	}
	*told = note{text: text, until: b.Until}
}

// listen returns what others have told since it was last called.
func (s *sharing) listen(ctx context.Context) (news []schedule.News) {
	n, err := s.notes()
	if err != nil {
		return nil
	}
	heard := make(map[string]note)
	err = guard(func() error {
		for key, err := range n.Keys(ctx, bulletinPrefix) {
			if err != nil {
				return err
			}
			if key == bulletinPrefix+s.holder {
				continue
			}
			if len(heard) == maxBulletins {
				break
			}
			text, err := n.Get(ctx, key)
			if err != nil {
				return err
			}
			was := s.board.heard[key]
			if text == nil || bytes.Equal(text, was.text) && was.until.After(s.now()) {
				heard[key] = was
				continue
			}
			b, err := s.hear(ctx, n, key, text, was.levels)
			if err != nil {
				return err
			}
			heard[key] = note{text, b.Until, b.Levels}
			news = append(news, schedule.News{Troubles: b.Troubles, Flushes: b.Flushes})
		}
		return nil
	})
	if err != nil {
		s.failing(ctx, "hearing others", err)
		return news // what is not noted down is heard again
	}
	s.board.heard = heard
	return news
}

// hear reads one bulletin. One that doesn't count any more is removed, and so is one that can't be read: another one will come.
func (s *sharing) hear(ctx context.Context, n queue.Notes, key string, text []byte, levels map[int]uint64) (b bulletin, err error) {
	if err := notes.Parse(text, &b); err != nil || !b.Until.After(s.now()) {
		return bulletin{}, n.Set(ctx, key, nil)
	}
	return b, s.levels.follow(ctx, n, levels, b.Levels)
}
