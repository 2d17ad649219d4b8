package simulate

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/retry"
)

var lines = []struct {
	text string
	rule Rule
}{
	{"always * takes 200ms", Rule{Do: Takes(200 * time.Millisecond)}},
	{"always * takes 0s", Rule{Do: Takes(0)}},
	{"always fast.example greets in 1m30s", Rule{Where: "fast.example", Do: Greets(90 * time.Second)}},
	{"09:00-17:00 *.example rcpt 450 4.2.0 greylisted", Rule{
		Where: "*.example", When: Window{9 * time.Hour, 17 * time.Hour, true}, Do: Answer{retry.PhaseRcpt, 450, "4.2.0", "greylisted"},
	}},
	{"22:30:15-24:00 * greeting 554 no: not now", Rule{
		When: Window{22*time.Hour + 30*time.Minute + 15*time.Second, 24 * time.Hour, true}, Do: Answer{retry.PhaseGreeting, 554, "", "no: not now"},
	}},
	{"22:00-00:00 * mail 421", Rule{When: Window{22 * time.Hour, 0, true}, Do: Answer{retry.PhaseMail, 421, "", ""}}},
	{"+2h-+8h * connect fails after 30s", Rule{When: Window{2 * time.Hour, 8 * time.Hour, false}, Do: Fail(30 * time.Second)}},
	{"+0s-+8h * connect fails", Rule{When: Window{0, 8 * time.Hour, false}, Do: Fail(0)}},
	{"+1m30s * connections 5", Rule{When: Window{90 * time.Second, 0, false}, Do: Connections(5)}},
	{"always *.shop.example is at big.example", Rule{Where: "*.shop.example", Do: Site("big.example")}},
	{"always a.example 2%: rcpt 550 5.1.1 no such user", Rule{Where: "a.example", Share: 0.02, Do: Answer{retry.PhaseRcpt, 550, "5.1.1", "no such user"}}},
	{"always * 0.5%, first attempt: body lost", Rule{Share: 0.005, Attempts: 1, Do: Answer{Phase: retry.PhaseBody}}},
	{"always * first 12 attempts: data 451 4.3.0 first 2%: of it", Rule{Attempts: 12, Do: Answer{retry.PhaseData, 451, "4.3.0", "first 2%: of it"}}},
	{"always user1@* rcpt 250 2.1.5 4.2.0 is no code here", Rule{Where: "user1@*", Do: Answer{retry.PhaseRcpt, 250, "2.1.5", "4.2.0 is no code here"}}},
}

func TestParseScript(t *testing.T) {
	for _, l := range lines {
		t.Run(l.text, func(t *testing.T) {
			s, err := ParseScript("x", "\n# a comment\r\n\t"+l.text+" \r\n\n")
			if err != nil || !reflect.DeepEqual(s, Script{l.rule}) {
				t.Fatalf("is %#v, %v", s, err)
			}
			if got := strings.Join(strings.Fields(s[0].String()), " "); got != l.text {
				t.Errorf("String returns %q", got)
			}
		})
	}
}

func TestParseScriptErrors(t *testing.T) {
	for text, want := range map[string]string{
		"always":                                             "x:1: a rule says when, where, and what",
		"always *":                                           "a rule says when",
		"\n\nsometimes * takes 1s":                           `x:3: "sometimes" is neither "always" nor a time`,
		"9-17 * takes 1s":                                    `"9-17" is neither`,
		"09:00-25:00 * takes 1s":                             `"09:00-25:00" is neither`,
		"24:00-09:00 * takes 1s":                             "a time of day is after midnight",
		"09:00-09:00 * takes 1s":                             "ends before it begins",
		"+2h-+1h * takes 1s":                                 `"+2h-+1h" is neither`,
		"+2h-+0s * takes 1s":                                 `"+2h-+0s" is neither`,
		"+-2h * takes 1s":                                    `"+-2h" is neither`,
		"always A.example takes 1s":                          `"A.example" is no pattern`,
		"always [a takes 1s":                                 `"[a" is no pattern`,
		"always a@b.example takes 1s":                        "whom only an answer to rcpt concerns",
		"always a@b.example mail 450 x":                      "whom only an answer to rcpt concerns",
		"always * sings":                                     `"sings" is nothing that servers do`,
		"always * takes":                                     "no duration",
		"always * takes long":                                `"long" is no duration`,
		"always * takes 11m":                                 "is not from 0s to 10m0s",
		"always * takes -1s":                                 "no duration",
		"always * greets 1s":                                 `"greets" is followed by "in" and a time`,
		"always * connect works":                             `followed by "fails"`,
		"always * connect failsafe":                          `followed by "fails"`,
		"always * connect fails after":                       `followed by "fails"`,
		"always * connections many":                          `"many" is no number`,
		"always * connections -1":                            "is negative",
		"always * is big":                                    `followed by "at" and a site`,
		"always * is at":                                     "no name of a site",
		"always * is at two words":                           "no name of a site",
		"always * 1%: is at big":                             "not at a site by chance",
		"always * first attempt: is at big":                  "not at a site for some attempts",
		"always * rcpt":                                      "followed by a reply code",
		"always * rcpt later":                                "followed by a reply code",
		"always * rcpt 45 x":                                 "followed by a reply code",
		"always * rcpt 650 x":                                "650 is no reply code",
		"always * rcpt 450 \x01":                             "not printable",
		"always * rcpt 450 \xff":                             "not printable",
		"always * quit 450 x":                                `"quit" is nothing`,
		"always * first attempt rcpt 450":                    "no colon ends",
		"always * first 0 attempts: takes 1s":                "no number of attempts",
		"always * first 2: takes 1s":                         "neither",
		"always * first attempt, first 2 attempts: takes 1s": "neither",
		"always * 0%: takes 1s":                              "not one share",
		"always * 101%: takes 1s":                            "not one share",
		"always * NaN%: takes 1s":                            "not one share",
		"always * 1%, 2%: takes 1s":                          "not one share",
		"always * 1%:":                                       "is nothing that servers do",
		strings.Repeat("always * takes 1s\n", maxRules+1):    "x:10001: there are more than 10000 rules",
		strings.Repeat("#", maxScript+1):                     "more than 1048576 octets",
	} {
		if _, err := ParseScript("x", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: the error is %v, not %q", text, err, want)
		}
	}
}

// Values that no text has are refused, too.
func TestCheck(t *testing.T) {
	for _, r := range []Rule{
		{},
		{Do: Answer{Phase: retry.PhaseQuit, Code: 421}},
		{Do: Answer{Phase: retry.PhaseRcpt, Code: 450, Enhanced: "4.2"}},
		{Do: Answer{Phase: retry.PhaseRcpt, Text: "lost"}},
		{Do: Answer{Phase: retry.PhaseRcpt, Code: 450, Text: strings.Repeat("x", maxText+1)}},
		{Do: Takes(0), Share: math.NaN()},
		{Do: Takes(0), Share: -0.1},
		{Do: Takes(0), Attempts: -1},
		{Do: Takes(0), When: Window{From: -1}},
		{Do: Takes(0), When: Window{From: time.Hour, To: time.Minute}},
		{Do: Takes(0), Where: strings.Repeat("x", maxName+1)},
	} {
		if err := (Script{r}).Check(); err == nil {
			t.Errorf("%#v is taken", r)
		}
	}
}

func TestWindow(t *testing.T) {
	start := time.Date(2026, 5, 5, 20, 0, 0, 0, time.FixedZone("far", 5*3600))
	for _, c := range []struct {
		window string
		at     time.Duration
		want   bool
	}{
		{"always", 0, true},
		{"+1h", time.Hour - 1, false},
		{"+1h", time.Hour, true},
		{"+1h-+2h", 2 * time.Hour, false},
		{"20:00-21:00", 0, true},
		{"20:00-21:00", time.Hour, false},
		{"20:00-21:00", 24*time.Hour + 59*time.Minute, true},
		{"23:00-01:00", 2 * time.Hour, false},
		{"23:00-01:00", 3 * time.Hour, true},
		{"23:00-01:00", 4*time.Hour + 30*time.Minute, true},
		{"23:00-01:00", 5 * time.Hour, false},
		{"23:00-00:00", 4 * time.Hour, false},
		{"00:00-24:00", 4 * time.Hour, true},
	} {
		w, err := parseWindow(c.window)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.contains(start, start.Add(c.at).UTC()); got != c.want {
			t.Errorf("%s at +%v: %v", c.window, c.at, got)
		}
	}
}

// Whatever is read can be written, and read again.
func FuzzParseScript(f *testing.F) {
	for _, l := range lines {
		f.Add(l.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseScript("x", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "simulate: x") || len(err.Error()) > 700 {
				t.Errorf("the error is %q", err)
			}
			return
		}
		again, err := ParseScript("x", s.String())
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Errorf("%#v becomes %#v, %v", s, again, err)
		}
	})
}
