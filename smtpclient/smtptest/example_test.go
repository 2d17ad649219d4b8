package smtptest_test

import (
	"context"
	"fmt"
	"log"
	"net/smtp"
	"sync"

	"github.com/postroad/postroad/smtpclient/smtptest"
)

// Any client can be tested, such as that of net/smtp.
func ExampleServer() {
	srv := smtptest.NewServer(nil)
	defer srv.Close()

	err := smtp.SendMail(srv.Addr, nil, "me@example.com", []string{"you@example.org"}, []byte("Subject: Hello\r\n\r\nHello.\r\n"))
	if err != nil {
		log.Fatal(err)
	}
	messages, err := srv.Wait(context.Background(), 1)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range messages {
		fmt.Printf("%s -> %s: %q\n", m.From, m.To[0].Address, m.Data)
	}
	// Output:
	// me@example.com -> you@example.org: "Subject: Hello\r\n\r\nHello.\r\n"
}

// A greylisting server turns away each sender's first try.
func ExampleServer_reply() {
	var seen sync.Map // connections have goroutines of their own
	srv := smtptest.NewServer(func(c smtptest.Command) string {
		if c.Verb == "RCPT" {
			if _, again := seen.LoadOrStore(c.Message.From, true); !again {
				return "450 4.7.1 come back in a minute"
			}
		}
		return ""
	})
	defer srv.Close()

	for range 2 {
		err := smtp.SendMail(srv.Addr, nil, "me@example.com", []string{"you@example.org"}, []byte("Hello.\r\n"))
		fmt.Println("turned away:", err != nil)
	}
	// Output:
	// turned away: true
	// turned away: false
}

// A script is for what a good server never does.
func ExampleScript() {
	script, err := smtptest.ParseScript("example", `
# closes in the middle of everything
S: 220 mx.example.org
C: EHLO localhost
S: 250 mx.example.org
C: MAIL FROM:<me@example.com>
close
`)
	if err != nil {
		log.Fatal(err)
	}
	srv := &smtptest.Server{Script: script}
	if err := srv.Start(); err != nil {
		log.Fatal(err)
	}
	err = smtp.SendMail(srv.Addr, nil, "me@example.com", []string{"you@example.org"}, []byte("Hello.\r\n"))
	srv.Close()
	fmt.Println(err)
	fmt.Println("not as in the script:", srv.Errors())
	// Output:
	// EOF
	// not as in the script: []
}
