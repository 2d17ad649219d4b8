package queue_test

import (
	"slices"
	"testing"

	"github.com/postroad/postroad/queue"
)

func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		marks, places []queue.Mark
	}{
		{[]queue.Mark{0, 0}, nil},
		{[]queue.Mark{7}, []queue.Mark{7}},
		{[]queue.Mark{9, 0, 5}, []queue.Mark{5, 9}},
		{[]queue.Mark{5, 6, 7}, []queue.Mark{7}},
		{[]queue.Mark{9, 1, 6, 5, 10, 7}, []queue.Mark{1, 7, 10}},
	} {
		j := &queue.Job{}
		for _, m := range c.marks {
			j.Recipients = append(j.Recipients, queue.Recipient{Mark: m})
		}
		if got := j.Places(); !slices.Equal(got, c.places) {
			t.Errorf("the places of marks %d are %d, want %d", c.marks, got, c.places)
		}
		for _, place := range c.places {
			if at := j.At(place); at.Mark() != place {
				t.Errorf("of marks %d, %d is the greatest at %d", c.marks, at.Mark(), place)
			}
		}
		for i, m := range c.marks {
			if j.Recipients[i].Mark != m {
				t.Errorf("mark %d has become %d", m, j.Recipients[i].Mark)
			}
		}
	}
}
