package dsn_test

import (
	"bytes"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery/dsn"
)

func ExampleCompose() {
	b, err := dsn.Compose(&dsn.Report{
		To:           "bob@example.org",
		Date:         time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		ReportingMTA: "mx.example.org",
		Recipients: []dsn.Recipient{{
			Final:      "nobody@example.com",
			Action:     dsn.Failed,
			Status:     "5.1.1",
			RemoteMTA:  "mx.example.com",
			Diagnostic: dsn.Diagnostic{Code: 550, Enhanced: "5.1.1", Text: "No such user"},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	_, human, _ := bytes.Cut(b, []byte("charset=utf-8\r\n\r\n"))
	human, _, _ = bytes.Cut(human, []byte("\r\n--"))
	fmt.Print(strings.ReplaceAll(string(human), "\r\n", "\n"))
	// Output:
	// This is an automatic message from the mail system at mx.example.org.
	//
	// Your message could not be delivered to:
	//
	//   nobody@example.com
	//     There is no such mailbox. The server mx.example.com said:
	//       550 5.1.1 No such user
	//
	// It will not be tried again.
	//
	// The details are attached.
}

func ExampleParse() {
	const message = `From: MAILER-DAEMON@mx.example.org
To: bob@example.org
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; nobody@example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 No such user
--b--
`
	r, err := dsn.Parse(strings.NewReader(message))
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range r.Recipients {
		fmt.Println(p.Final, p.Action, p.Status, p.Diagnostic.Code)
	}
	// Output: nobody@example.com failed 5.1.1 550
}
