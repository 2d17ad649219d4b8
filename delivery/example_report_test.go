package delivery_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"strings"
	"text/template"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/dsn"
	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue/memqueue"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

var reportText = template.Must(template.New("report").Parse(`Hello,

this is what has become of your message:
{{range .Recipients}}
  {{.Final}}: {{.Action}}{{with .Diagnostic.String}}, because we were told {{printf "%q" .}}{{end}}
{{end}}
Your friends at app.example
`))

// Reports speak with the words of a template. A Diagnostic is one line and printable when it is printed as a whole.
func ExampleConfig_reportText() {
	server := smtptest.NewServer(func(c smtptest.Command) string {
		if c.Address == "nobody@example.org" {
			return "550-5.1.1 no such\r\n550 5.1.1 user"
		}
		return ""
	})
	defer server.Close()
	relay, err := mx.ParseRelay("smtp://" + server.Addr)
	if err != nil {
		log.Fatal(err)
	}
	sender, err := delivery.New(memqueue.New(), delivery.Config{
		Hostname: "app.example", Router: relay,
		ReportText: func(r *dsn.Report) (subject, text string) {
			var b strings.Builder
			if err := reportText.Execute(&b, r); err != nil {
				return "", "" // then the report says what package dsn has to say
			}
			return "About your message", b.String()
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- sender.Run(ctx) }()
	if _, err = sender.Enqueue(ctx, delivery.Message{From: "ann@app.example", To: delivery.To("nobody@example.org")}); err != nil {
		log.Fatal(err)
	}

	messages, _ := server.Wait(ctx, 1)
	_, text, _ := bytes.Cut(messages[0].Data, []byte("charset=utf-8\r\n\r\n"))
	text, _, _ = bytes.Cut(text, []byte("\r\n--"))
	fmt.Print(strings.ReplaceAll(string(text), "\r\n", "\n"))
	cancel()
	<-done
	// Output:
	// Hello,
	//
	// this is what has become of your message:
	//
	//   nobody@example.org: failed, because we were told "550 5.1.1 no such user"
	//
	// Your friends at app.example
}
