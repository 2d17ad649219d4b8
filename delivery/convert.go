package delivery

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-smtp"

	"github.com/postroad/postroad/mx"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/retry"
	"github.com/postroad/postroad/smtpclient"
)

// queue, retry, mx and smtpclient don't know each other. This file is where their values meet.

// noDomain is the reply that stands for a domain that doesn't exist.
var noDomain = queue.Reply{Phase: "route", Code: 550, Enhanced: "5.1.2"}

// routeFailed says what a routing error means. That a domain doesn't exist is believed when it was so at the attempt
// before, too: one wrong answer bounces nothing.
func routeFailed(j *queue.Job, to string, err error) (queue.Reply, retry.Verdict) {
	verdict := retry.Verdict{Outcome: retry.Temporary}
	e := new(mx.Error)
	if !errors.As(err, &e) {
		return queue.Reply{Phase: "route", Text: clip(err.Error())}, verdict
	}
	reply := queue.Reply{Phase: "route", Code: e.Code, Enhanced: clip(e.Enhanced), Text: clip(e.Reason())}
	if errors.Is(err, mx.ErrNoDomain) {
		reply.Code, reply.Enhanced = noDomain.Code, noDomain.Enhanced
		last := queue.Reply{}
		if n := len(j.Attempts); n > 0 {
			last = j.Attempts[n-1].Reply
		}
		if last.Phase != noDomain.Phase || last.Code != noDomain.Code || last.Enhanced != noDomain.Enhanced {
			return reply, verdict
		}
	}
	if e.Permanent && to == j.Domain { // nobody's mail bounces for a mistake in what it was rerouted to
		verdict.Outcome = retry.Permanent
	}
	return reply, verdict
}

// hostFailed says what it means that no session could be had with a host.
func hostFailed(host mx.Host, err error) (queue.Reply, retry.Verdict) {
	e := new(smtpclient.Error)
	if !errors.As(err, &e) {
		e = &smtpclient.Error{Phase: smtpclient.PhaseConnect, Err: err}
	}
	reply := errorReply(host, e)
	return reply, retry.Classify(retry.Reply{
		Phase: retry.Phase(reply.Phase), Code: reply.Code, Enhanced: reply.Enhanced, Relay: host.Auth != nil,
	})
}

// classify says what a recipient's result means, after so many others of the transaction had been accepted.
func classify(host mx.Host, s *smtpclient.Session, res smtpclient.Result, accepted int) (queue.Reply, retry.Verdict) {
	r := queue.Reply{Host: clip(host.Name), Addr: s.Addr(), Phase: string(res.Phase), Code: res.Reply.Code,
		Enhanced: enhanced(res.Reply.Enhanced), Text: clip(res.Reply.Text)}
	uncertain := false
	if res.Err != nil {
		r = errorReply(host, res.Err)
		uncertain = res.Err.Uncertain
	}
	v := retry.Classify(retry.Reply{
		Phase: retry.Phase(r.Phase), Code: r.Code, Enhanced: r.Enhanced, Uncertain: uncertain, Accepted: accepted,
		Relay: host.Auth != nil,
	})
	if unable(&res) { // RFC 8689, section 4.2.1: the next host may know more
		v.Outcome, v.NextHost = retry.Temporary, true
	}
	return r, v
}

func errorReply(host mx.Host, e *smtpclient.Error) queue.Reply {
	r := queue.Reply{
		Host: clip(host.Name), Addr: e.Addr, Phase: string(e.Phase), Code: e.Code, Enhanced: enhanced(e.Enhanced), Text: clip(e.Text),
	}
	if e.Code == 0 && e.Err != nil {
		r.Text = clip(e.Err.Error())
	}
	return r
}

func enhanced(c smtp.EnhancedCode) string {
	if c == (smtp.EnhancedCode{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", c[0], c[1], c[2])
}

// maxClipped is how many octets a text in a queue's record has.
const maxClipped = 1024

// clip makes a text valid UTF-8, and cuts it to what a record takes.
func clip(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s[:min(len(s), 2*maxClipped)], "\uFFFD"), "\x00", " ")
	if len(s) <= maxClipped {
		return s
	}
	n := maxClipped
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// preferLast puts the host first that may have the message already, if the last attempt's outcome is uncertain: it is the
// one that may recognise a second copy.
func preferLast(hosts []mx.Host, j *queue.Job) []mx.Host {
	if !unsure(j) {
		return hosts
	}
	last := j.Attempts[len(j.Attempts)-1].Reply.Host
	hosts = slices.Clone(hosts)
	slices.SortStableFunc(hosts, func(a, b mx.Host) int {
		switch {
		case a.Name == last && b.Name != last:
			return -1
		case b.Name == last && a.Name != last:
			return 1
		}
		return 0
	})
	return hosts
}

// unsure reports whether the last attempt's outcome is uncertain.
func unsure(j *queue.Job) bool { return len(j.Attempts) > 0 && j.Attempts[len(j.Attempts)-1].Uncertain }

// sessionOptions joins what the host program, the route and the message say about a session.
func (s *Sender) sessionOptions(host mx.Host, demand queue.TLS) *smtpclient.Options {
	o := &smtpclient.Options{
		LocalName:  s.config.Hostname,
		ServerName: host.Name,
		Implicit:   host.Implicit,
		Dial:       s.config.Dial,
		Timeouts:   s.config.Timeouts,
	}
	switch {
	case host.TLS == mx.Verified, demand == queue.TLSVerified, demand == queue.RequireTLS && host.Verify == nil:
		o.TLS = smtpclient.VerifiedTLS
	case host.TLS == mx.Required || demand == queue.TLSRequired || host.Verify != nil:
		o.TLS = smtpclient.RequiredTLS
	case host.TLS == mx.None:
		o.TLS = smtpclient.NoTLS
	}
	if host.Auth != nil {
		o.Auth = &smtpclient.Credentials{Username: host.Auth.Username, Password: host.Auth.Password}
	}
	o.TLSConfig = handshake(s.config.TLS, host, o.TLS)
	return o
}

// handshake is the host program's configuration with what a route says of the handshakes with a host. Whoever has to prove
// the host's name is asked for that.
func handshake(config *tls.Config, host mx.Host, demand smtpclient.TLS) *tls.Config {
	if host.Verify == nil && host.SNI == "" {
		return config
	}
	c := config.Clone()
	if c == nil {
		c = new(tls.Config)
	}
	if c.ServerName == "" && demand != smtpclient.VerifiedTLS {
		c.ServerName = host.SNI
	}
	if first := c.VerifyConnection; first == nil {
		c.VerifyConnection = host.Verify
	} else if host.Verify != nil {
		c.VerifyConnection = func(state tls.ConnectionState) error {
			if err := first(state); err != nil {
				return err
			}
			return host.Verify(state)
		}
	}
	return c
}

// envelope is what is said to a host of a job's message and of its recipients at indexes. UTF8 is what the message demands;
// what an address demands concerns that address alone, and smtpclient sees to it.
func envelope(j *queue.Job, s *smtpclient.Session, h *mx.Host, indexes []int) *smtpclient.Envelope {
	m := &j.Message
	from, never := reversePath(j), queue.Notify(0)
	if from == "" && h.NullSender != "" { // to whom nobody is to report in the null sender's place
		from, never = h.NullSender, queue.NotifyNever
	}
	e := &smtpclient.Envelope{
		From: from,
		Mail: smtp.MailOptions{
			Size:       m.Size,
			UTF8:       m.UTF8,
			Return:     smtp.DSNReturn(m.Return),
			EnvelopeID: m.EnvelopeID,
			RequireTLS: requires(j, s),
		},
	}
	if m.EightBit {
		e.Mail.Body = smtp.Body8BitMIME
	}
	for _, i := range indexes {
		r := &j.Recipients[i]
		to := smtpclient.Recipient{Address: r.Address}
		to.Rcpt.Notify = notify(cmp.Or(never, r.Notify))
		if kind, address, ok := strings.Cut(r.Original, ";"); ok {
			to.Rcpt.OriginalRecipientType, to.Rcpt.OriginalRecipient = smtp.DSNAddressType(kind), address
		}
		e.To = append(e.To, to)
	}
	return e
}

// reversePath is the address that reports about j go to.
func reversePath(j *queue.Job) string {
	if from := j.Recipients[0].From; from != "" {
		return from
	}
	return j.Message.From
}

func notify(n queue.Notify) (list []smtp.DSNNotify) {
	for _, p := range []struct {
		bit  queue.Notify
		word smtp.DSNNotify
	}{
		{queue.NotifyNever, smtp.DSNNotifyNever},
		{queue.NotifySuccess, smtp.DSNNotifySuccess},
		{queue.NotifyFailure, smtp.DSNNotifyFailure},
		{queue.NotifyDelay, smtp.DSNNotifyDelayed},
	} {
		if n&p.bit != 0 {
			list = append(list, p.word)
		}
	}
	return list
}

// notifyWords is NOTIFY as it is on the wire, "" if the sender has said nothing.
func notifyWords(n queue.Notify) string {
	var words []string
	for _, word := range notify(n) {
		words = append(words, string(word))
	}
	return strings.Join(words, ",")
}
