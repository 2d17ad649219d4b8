package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/postroad/postroad/delivery/dsn"
	"github.com/postroad/postroad/smtpclient/smtptest"
)

// unknownUser has a server that doesn't know one of the recipients. The report comes to the sender's own server.
func unknownUser(ctx context.Context, w *world) error {
	server, err := w.host("office.example", 10, "mx.office.example", func(c smtptest.Command) string {
		if c.Verb == "RCPT" && c.Address == "max@office.example" {
			return "550 5.1.1 no such user here"
		}
		return ""
	})
	if err != nil {
		return err
	}
	attempts, err := w.deliver(ctx, "Subject: Party\n\nTonight!\n", "eva@office.example", "max@office.example", "zoe@office.example")
	if err != nil {
		return err
	}
	if err := equal("outcomes for eva, max and zoe", outcomes(attempts), "delivered, failed, delivered"); err != nil {
		return err
	}
	bounce, err := w.bounced(ctx, attempts[0].Key.ID)
	if err != nil {
		return err
	}
	if _, err := w.wait(ctx, bounce.Report, 1); err != nil {
		return fmt.Errorf("the report: %w", err)
	}
	got, err := only(server)
	if err != nil {
		return err
	}
	return errors.Join(
		equal("envelope", envelope(got), "ada@shop.example -> eva@office.example, zoe@office.example"),
		w.report(),
	)
}

// report shows the report that the sender's server has, and checks whom it names.
func (w *world) report() error {
	got, err := only(w.home)
	if err != nil {
		return err
	}
	r, err := dsn.Parse(bytes.NewReader(got.Data))
	if err != nil {
		return err
	}
	w.quote("From: "+r.From, "To: "+r.To)
	var names []string
	for _, to := range r.Recipients {
		names = append(names, fmt.Sprintf("%s %s %s", to.Action, to.Final, to.Status))
		w.quote(
			"Final-Recipient: "+to.Final,
			fmt.Sprintf("Action: %s, Status: %s", to.Action, to.Status),
			fmt.Sprintf("Diagnostic: %s said: %s", to.RemoteMTA, to.Diagnostic))
	}
	return errors.Join(
		equal("envelope of the report", envelope(got), " -> ada@shop.example"), // from the null sender
		equal("what the report says", strings.Join(names, "; "), "failed max@office.example 5.1.1"),
	)
}
