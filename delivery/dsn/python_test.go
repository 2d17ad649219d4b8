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

// script prints what Python's email package finds in the message on its standard input.
const script = `
import email, email.policy, json, sys
m = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
status = [p for p in m.get_payload() if p.get_content_type() == "message/delivery-status"]
groups = [g for p in status for g in p.get_payload() if g.keys()]
json.dump({
    "Type": m.get_content_type(),
    "ReportType": m.get_param("report-type"),
    "To": str(m["To"]),
    "Auto": str(m["Auto-Submitted"]),
    "Parts": [p.get_content_type() for p in m.get_payload()],
    "Human": m.get_payload()[0].get_content(),
    "Subject": str(m["Subject"]),
    "Final": [g["Final-Recipient"] for g in groups[1:]],
    "Action": [g["Action"] for g in groups[1:]],
    "Defects": [repr(d) for p in m.walk() for d in p.defects],
}, sys.stdout)
`

type pythonView struct {
	Type, ReportType, To, Auto, Human, Subject string

	Parts, Final, Action, Defects []string
}

// TestPythonReadsReports parses the golden files with a parser that isn't ours.
func TestPythonReadsReports(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("python3 is not installed, and CI needs it to check the reports with another parser")
		}
		t.Skip("python3 is not installed; it would check the reports with another parser")
	}
	for name, r := range golden() {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join("testdata", "composed", name+".eml"))
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(python, "-c", script)
			cmd.Env = append(os.Environ(), "PYTHONIOENCODING=utf-8")
			cmd.Stdin = bytes.NewReader(b)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var got pythonView
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatal(err)
			}
			if name == "hostile" {
				got.To = r.To // on purpose no address
			}
			checkPythonView(t, r, got)
		})
	}
}

func checkPythonView(t *testing.T, r *Report, got pythonView) {
	human := r.humanPart()
	want := pythonView{
		Type: "multipart/report", ReportType: "delivery-status", To: r.To, Auto: "auto-replied", Subject: r.subject(),
		Human: string(bytes.ReplaceAll(human.content, []byte("\r\n"), []byte("\n"))),
		Parts: []string{"text/plain", r.statusPart().contentType}, Final: []string{}, Action: []string{}, Defects: []string{},
	}
	if p, found := r.originalPart(); found {
		want.Parts = append(want.Parts, p.contentType)
	}
	if !r.global() { // Python doesn't look into message/global-delivery-status
		for _, p := range r.Recipients {
			want.Final = append(want.Final, "rfc822; "+clean(p.Final))
			want.Action = append(want.Action, string(p.Action))
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Python reads %+v\nwant %+v", got, want)
	}
}
