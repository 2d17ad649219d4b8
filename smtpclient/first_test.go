package smtpclient_test

import (
	"strings"
	"testing"

	"github.com/postroad/postroad/smtpclient"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

func TestFirst(t *testing.T) {
	srv := &smtptest.Server{StartTLS: true, Users: map[string]string{"u": "p"}}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	s, err := smtpclient.Dial(t.Context(), srv.Addr, &smtpclient.Options{Auth: &smtpclient.Credentials{Username: "u", Password: "p"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r, err := s.Send(t.Context(), &smtpclient.Envelope{From: "a@example.com", To: []smtpclient.Recipient{{Address: "b@example.org"}}}, strings.NewReader("Subject: x\r\n\r\n.hi\r\n"))
		t.Log(r, err, s.Reusable(), s.CertificateError())
	}
	s.Close()
	t.Logf("%+v", srv.Messages())
}
