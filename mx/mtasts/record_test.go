package mtasts

import (
	"strings"
	"testing"

	"github.com/postroad/postroad/mx"
)

func records(texts ...string) []mx.Record {
	var list []mx.Record
	for _, text := range texts {
		list = append(list, mx.Record{Text: text})
	}
	return list
}

func TestPolicyID(t *testing.T) {
	for _, c := range []struct {
		name  string
		texts []string
		want  string
	}{
		{"plain", []string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z"},
		{"tight", []string{"v=STSv1;id=1"}, "1"},
		{"space", []string{"v=STSv1 \t; \tid=1 ;\t "}, "1"},
		{"32 characters", []string{"v=STSv1; id=" + strings.Repeat("a", 32)}, strings.Repeat("a", 32)},
		{"unknown fields", []string{"v=STSv1; a_b-c.d=x:y/z; id=1; e=é"}, ""},
		{"unknown fields", []string{"v=STSv1; a_b-c.d=x:y/z; id=1"}, "1"},
		{"a second id", []string{"v=STSv1; id=1; id=2"}, "1"},
		{"among others", []string{"v=spf1 -all", "", "v=STSv1; id=1", "v=STSv2; id=2", "V=STSv1; id=3", "v=STSv10; id=4"}, "1"},
		{"missing", nil, ""},
		{"only others", []string{"v=spf1 -all"}, ""},
		{"two", []string{"v=STSv1; id=1", "v=STSv1; id=2"}, ""},
		{"two of the same", []string{"v=STSv1; id=1", "v=STSv1; id=1"}, ""},
		{"two, one bad", []string{"v=STSv1; id=1", "v=STSv1; id=-"}, ""},
		{"no id", []string{"v=STSv1;"}, ""},
		{"no id but others", []string{"v=STSv1; a=b"}, ""},
		{"no field at all", []string{"v=STSv1"}, ""},
		{"an empty id", []string{"v=STSv1; id="}, ""},
		{"a bad id", []string{"v=STSv1; id=2016-08-31"}, ""},
		{"a bad id first", []string{"v=STSv1; id=-; id=1"}, ""},
		{"33 characters", []string{"v=STSv1; id=" + strings.Repeat("a", 33)}, ""},
		{"the id's case", []string{"v=STSv1; ID=1"}, ""},
		{"the id first", []string{"id=1; v=STSv1"}, ""},
		{"space before", []string{" v=STSv1; id=1"}, ""},
		{"space inside", []string{"v=STSv1; id = 1"}, ""},
		{"an empty field", []string{"v=STSv1;; id=1"}, ""},
		{"no semicolon", []string{"v=STSv1 id=1"}, ""},
		{"not a field", []string{"v=STSv1; id=1; hello"}, ""},
		{"a second equals sign", []string{"v=STSv1; id=1; a=b=c"}, ""},
	} {
		if got := policyID(records(c.texts...)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("v=STSv1; id=20160831085700Z;")
	f.Add("v=STSv1;a=b;id=1")
	f.Add("v=STSv1 ; id=1; id=2; x")
	f.Fuzz(func(t *testing.T, text string) {
		id := policyID(records(text))
		if id == "" {
			return
		}
		if !validID(id) || !strings.HasPrefix(text, "v=STSv1") || !strings.Contains(text, "id="+id) {
			t.Errorf("%q has the id %q", text, id)
		}
		if policyID(records(text, text)) != "" {
			t.Errorf("%q twice has an id", text)
		}
		if policyID(records(text, "v=STSv2;id=x")) != id {
			t.Errorf("%q is lost next to another record", text)
		}
	})
}
