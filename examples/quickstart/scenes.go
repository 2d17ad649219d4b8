package main

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/postroad/postroad/smtpclient/smtptest"
)

// scene is something that happens to mail, and what Postroad promises about it.
type scene struct {
	title   string
	promise string
	// play lets it happen, and returns what was not as promised.
	play func(context.Context, *world) error
}

func scenes() []scene {
	return []scene{
		{
			"A message is accepted",
			"It arrived octet for octet; Received, Date and Message-ID were added, line ends made CRLF.",
			accepted,
		},
		{
			"A server greylists: it refuses whom it doesn't know, and takes a second attempt",
			"The second attempt got through.",
			greylisted,
		},
		{
			"The primary MX is dead",
			"The backup has the message, and the sender noticed nothing.",
			deadPrimary,
		},
		{
			"The connection is lost after the final dot: has the server got the message, or not?",
			"No other host was tried: twice the wait later, the same one got the same octets and Message-ID.",
			uncertain,
		},
		{
			"One of three recipients doesn't exist",
			"The other two have their mail; the sender has a report (RFC 3464) that names only the third.",
			unknownUser,
		},
		{
			"kill -9 right after Enqueue has returned",
			"The message was on disk, and arrived octet for octet, once.",
			killed,
		},
	}
}

func accepted(ctx context.Context, w *world) error {
	server, err := w.host("bakery.example", 10, "mx.bakery.example", nil)
	if err != nil {
		return err
	}
	head, body := "From: ada@shop.example\nTo: bo@bakery.example\nSubject: Bread\n", "\nTwo loaves for Friday, please.\n.\n"
	attempts, err := w.deliver(ctx, head+body, "bo@bakery.example")
	if err != nil {
		return err
	}
	got, err := only(server)
	if err != nil {
		return err
	}
	added := "Date: " + field(got.Data, "Date") + "\nMessage-ID: " + field(got.Data, "Message-ID") + "\n"
	return errors.Join(
		equal("attempts", outcomes(attempts), "delivered"),
		equal("envelope", envelope(got), "ada@shop.example -> bo@bakery.example"),
		octets("message", untraced(got.Data), crlf(head+added+body)),
	)
}

func greylisted(ctx context.Context, w *world) error {
	var known atomic.Bool
	server, err := w.host("bank.example", 10, "mx.bank.example", func(c smtptest.Command) string {
		if c.Verb == "RCPT" && !known.Swap(true) {
			return "450 4.7.1 greylisted"
		}
		return ""
	})
	if err != nil {
		return err
	}
	attempts, err := w.deliver(ctx, "Subject: Statement\n\nPlease send me one.\n", "kim@bank.example")
	if err != nil {
		return err
	}
	if err := equal("attempts", outcomes(attempts), "deferred, delivered"); err != nil {
		return err
	}
	_, err = only(server)
	return errors.Join(err,
		equal("the second attempt came after the wait", attempts[1].Time.Sub(attempts[0].Time) >= retryWait, true))
}

func deadPrimary(ctx context.Context, w *world) error {
	primary, err := w.host("harbour.example", 10, "mx1.harbour.example", nil)
	if err != nil {
		return err
	}
	backup, err := w.host("harbour.example", 20, "mx2.harbour.example", nil)
	if err != nil {
		return err
	}
	primary.Close()
	attempts, err := w.deliver(ctx, "Subject: Berth\n\nWe arrive at nine.\n", "pilot@harbour.example")
	if err != nil {
		return err
	}
	_, err = only(backup)
	return errors.Join(err,
		equal("attempts", outcomes(attempts), "delivered"),
		equal("the primary was asked first", w.wasDead(primary.Name), true))
}
