package dsn

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
)

// bounceParser prints what Perl's Mail::DeliveryStatus::BounceParser finds in the message on its standard input.
const bounceParser = `
use strict; use warnings; use JSON::PP; use Mail::DeliveryStatus::BounceParser;
local $/;
my $b = Mail::DeliveryStatus::BounceParser->new(scalar <STDIN>, {prefer_final_recipient => 1, report_non_bounces => 1});
sub line { my $v = shift // ""; $v =~ s/\s+/ /g; $v =~ s/^ | $//g; return $v; }
print encode_json({
	Bounce => $b->is_bounce ? JSON::PP::true : JSON::PP::false,
	OriginalID => line($b->orig_message_id),
	Reports => [map { { Email => line($_->get("email")), Status => line($_->get("Status")), Reason => line($_->get("reason")) } } $b->reports],
});
`

type perlView struct {
	Bounce     bool
	OriginalID string
	Reports    []perlReport
}

type perlReport struct{ Email, Status, Reason string }

// TestPerlReadsReports parses the golden files with a parser that reads bounces of all sorts.
func TestPerlReadsReports(t *testing.T) {
	if exec.Command("perl", "-MMail::DeliveryStatus::BounceParser", "-e", "1").Run() != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("Perl's Mail::DeliveryStatus::BounceParser is not installed, and CI needs it to check the reports with a third parser")
		}
		t.Skip("Perl's Mail::DeliveryStatus::BounceParser is not installed; it would check the reports with a third parser")
	}
	for name, r := range golden() {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join("testdata", "composed", name+".eml"))
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("perl", "-e", bounceParser)
			cmd.Stdin = bytes.NewReader(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))) // as in a mailbox, which it is for
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var got perlView
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatal(err)
			}
			if want := wantPerlView(r); !reflect.DeepEqual(got, want) {
				t.Errorf("Perl reads %+v\nwant %+v", got, want)
			}
		})
	}
}

// wantPerlView is what there is to be read by somebody who doesn't look into message/global-delivery-status, and beyond the
// first recipient that hasn't failed.
func wantPerlView(r *Report) perlView {
	want := perlView{Bounce: true, Reports: []perlReport{}}
	if original, _ := r.originalPart(); bytes.Contains(original.content, []byte(r.OriginalMessageID)) {
		want.OriginalID = r.OriginalMessageID
	}
	for i := range r.Recipients {
		p := &r.Recipients[i]
		switch {
		case r.global():
		case p.Action != Failed:
			want.Bounce = false
			return want
		default:
			want.Reports = append(want.Reports, perlReport{clean(p.Final), p.statusOr(), ascii(p.Diagnostic.String())})
		}
	}
	return want
}
