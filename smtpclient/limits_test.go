package smtpclient

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

func TestAnnounced(t *testing.T) {
	for params, want := range map[string]announced{
		"":                                   {},
		"RCPTMAX=20":                         {rcpts: 20},
		"mailmax=1 RcptMax=2":                {mails: 1, rcpts: 2},
		"MAILMAX=999999 RCPTDOMAINMAX=1 X=a": {mails: 999999, domains: 1},
		"RCPTMAX=0":                          {},
		"RCPTMAX=1000000":                    {},
		"RCPTMAX=07":                         {},
		"RCPTMAX=-1":                         {},
		"RCPTMAX=+1":                         {},
		"RCPTMAX=":                           {},
		"RCPTMAX":                            {},
		"RCPTMAX=20 MAILMAX=x":               {},
		"RCPTMAX=20 =3":                      {},
		"RCPTMAX=20 ;":                       {},
	} {
		if got := (extensions{"LIMITS": params}).limits(); got != want {
			t.Errorf("%q: %+v, want %+v", params, got, want)
		}
	}
}

func TestQuota(t *testing.T) {
	addresses := []string{"a@one", "b@ONE", "c@two", "postmaster", "d@three"}
	for _, c := range []struct {
		announced string
		learned   int
		want      string // which of the addresses
	}{
		{"", 0, "abcpd"},
		{"RCPTMAX=2", 0, "ab"},
		{"RCPTMAX=2", 1, "a"},
		{"RCPTMAX=2", 3, "ab"},
		{"", 3, "abc"},
		{"RCPTDOMAINMAX=1", 0, "ab"},
		{"RCPTDOMAINMAX=2 RCPTMAX=4", 0, "abc"},
		{"RCPTDOMAINMAX=1 RCPTMAX=1", 0, "a"},
	} {
		s := &Session{ext: extensions{"LIMITS": c.announced}, rcptMax: c.learned}
		q := s.quota()
		got := ""
		for _, a := range addresses {
			if q.takes(a) {
				got += a[:1]
			}
		}
		if got != c.want {
			t.Errorf("%q, learned %d: %s, want %s", c.announced, c.learned, got, c.want)
		}
	}
}

func TestParameters(t *testing.T) {
	for line, want := range map[string]string{
		"MAIL FROM:<>":           "",
		"MAIL FROM:<a=b@c> X=1":  "",
		`MAIL FROM:<"SIZE="@c>`:  "",
		"RCPT TO:<a@b> NOTIFY=N": "DSN",
		"MAIL FROM:<a@b> SIZE=1 BODY=8BITMIME SMTPUTF8 REQUIRETLS AUTH=<> RET=HDRS ENVID=x MT-PRIORITY=3 BY=1;N": "SIZE 8BITMIME SMTPUTF8 AUTH DSN MT-PRIORITY DELIVERBY",
	} {
		if got := strings.Join(parameters(line), " "); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// Only a refusal that may be about them blames the parameters.
func TestBlames(t *testing.T) {
	used := []string{"SIZE", "SMTPUTF8"}
	for _, c := range []struct {
		code     int
		enhanced smtp.EnhancedCode
		want     []string
	}{
		{501, smtp.EnhancedCode{}, used},
		{504, smtp.EnhancedCode{5, 5, 4}, used},
		{555, smtp.EnhancedCode{5, 5, 4}, used},
		{553, smtp.EnhancedCode{5, 6, 7}, used[1:]},
		{503, smtp.EnhancedCode{5, 5, 1}, nil},
		{501, smtp.EnhancedCode{5, 1, 7}, nil},
		{550, smtp.EnhancedCode{5, 7, 1}, nil},
		{552, smtp.EnhancedCode{5, 3, 4}, nil},
		{421, smtp.EnhancedCode{}, nil},
	} {
		if got := (Reply{Code: c.code, Enhanced: c.enhanced}).blames(slices.Clone(used)); !slices.Equal(got, c.want) {
			t.Errorf("%d %v: %q, want %q", c.code, c.enhanced, got, c.want)
		}
	}
}

func TestDeliverBy(t *testing.T) {
	for _, c := range []struct {
		by   smtp.DeliverByOptions
		want string // "" if it is refused
	}{
		{smtp.DeliverByOptions{Time: 90 * time.Second, Mode: "R"}, "90;R"},
		{smtp.DeliverByOptions{Time: time.Hour, Mode: "N", Trace: true}, "3600;NT"},
		{smtp.DeliverByOptions{Time: -time.Minute, Mode: "N"}, "-60;N"},
		{smtp.DeliverByOptions{Mode: "N"}, "0;N"},
		{smtp.DeliverByOptions{Mode: "R"}, ""},
		{smtp.DeliverByOptions{Time: time.Hour}, ""},
		{smtp.DeliverByOptions{Time: time.Hour, Mode: "R SIZE=1"}, ""},
		{smtp.DeliverByOptions{Time: 1 << 62, Mode: "N"}, ""},
	} {
		got, reason := encodeDeliverBy(&c.by)
		if c.want == "" && reason == "" || c.want != "" && (got != c.want || reason != "") {
			t.Errorf("%+v: %q, %q", c.by, got, reason)
		}
	}
}

// Whatever LIMITS say, they are numbers that make sense, or none.
func FuzzLimits(f *testing.F) {
	for _, s := range []string{
		"", "RCPTMAX=20", "mailmax=1 RcptMax=2", "MAILMAX=999999 RCPTDOMAINMAX=1 X=a", "RCPTMAX=0", "RCPTMAX=1000000", "RCPTMAX=07", "RCPTMAX=-1",
		"RCPTMAX", "=", "RCPTMAX==", "RCPTMAX=20 MAILMAX=x", "RCPTMAX=1 RCPTMAX=2", "\x00=\xff", "RCPTMAX=１",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, params string) {
		a := extensions{"LIMITS": params}.limits()
		for _, n := range []int{a.mails, a.rcpts, a.domains} {
			if n < 0 || n > 999999 {
				t.Errorf("%+v", a)
			}
		}
		if a != (announced{}) && !strings.Contains(strings.ToUpper(params), "MAX=") {
			t.Errorf("%+v out of nothing", a)
		}
		s := &Session{ext: extensions{"LIMITS": params}}
		if q := s.quota(); !q.takes("a@b") {
			t.Error("nobody may have mail")
		}
	})
}
