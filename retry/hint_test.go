package retry

import (
	"testing"
	"time"
)

func TestHint(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration // 0: none
	}{
		{"4.7.1 Greylisted, please try again in 5 minutes", 5 * time.Minute},
		{"Greylisted for 300 seconds", 5 * time.Minute},
		{"Greylisting in action, please come back in 00:05:30", 330 * time.Second},
		{"please retry after 10 min", 10 * time.Minute},
		{"TRY AGAIN IN 90 SECS.", 90 * time.Second},
		{"try again later (wait 120s)", 2 * time.Minute},
		{"try again in 1 second", time.Minute},
		{"try again in 0 minutes", time.Minute},
		{"come back in 24 hours", time.Hour},
		{"try again in 999999 hours", time.Hour},
		{"try again in 9999999 hours", 0},
		{"try again later", 0},
		{"5 minutes", 0},
		{"blocked since 5 minutes", 0},
		{"try again in 5 months", 0},
		{"try again\nin 5 minutes", 0},
		{"", 0},
	}
	for _, tt := range tests {
		if got, ok := Hint(tt.text); got != tt.want || ok != (tt.want != 0) {
			t.Errorf("%q: %v, %v, want %v", tt.text, got, ok, tt.want)
		}
	}
}

func FuzzHint(f *testing.F) {
	f.Add("4.7.1 Greylisted, please try again in 5 minutes")
	f.Add("come back in 99:99:99")
	f.Add("wait 000000s")
	f.Add("retry \xff 12 h")
	f.Fuzz(func(t *testing.T, text string) {
		wait, ok := Hint(text)
		if ok && (wait < time.Minute || wait > time.Hour) || !ok && wait != 0 {
			t.Errorf("%v, %v", wait, ok)
		}
	})
}
