package main

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/postroad/postroad/smtpclient/smtptest"
)

// uncertain has a server that reads a whole message and hangs up before it has answered.
func uncertain(ctx context.Context, w *world) error {
	var first []byte // what the server had read by then
	server, err := w.host("island.example", 10, "mx1.island.example", func(c smtptest.Command) string {
		if c.Verb != "." || c.Conn > 1 {
			return ""
		}
		first = bytes.Clone(c.Message.Data)
		return smtptest.Close
	})
	if err != nil {
		return err
	}
	other, err := w.host("island.example", 20, "mx2.island.example", nil)
	if err != nil {
		return err
	}
	attempts, err := w.deliver(ctx, "Subject: Ferry\n\nIs there one at noon?\n", "lou@island.example")
	if err != nil {
		return err
	}
	if err := equal("attempts", outcomes(attempts), "uncertain, delivered"); err != nil {
		return err
	}
	server.Close() // so that it doesn't write to first any more
	got, err := only(server)
	if err != nil {
		return err
	}
	connections, _, _ := other.Connections()
	wait := attempts[0].Due.Sub(attempts[0].Time.Add(attempts[0].Took))
	return errors.Join(
		equal("host of the second attempt", attempts[1].Reply.Host, attempts[0].Reply.Host),
		equal("connections to "+other.Name, connections, 0),
		equal("wait", wait.Round(100*time.Millisecond), 2*retryWait),
		octets("second copy", got.Data, first),
		equal("the message has a Message-ID", field(got.Data, "Message-ID") != "", true),
	)
}
