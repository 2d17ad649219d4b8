package smtpclient

import (
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// Phase is the step of the dialogue that an error or a reply belongs to.
type Phase string

const (
	PhaseConnect  Phase = "connect"
	PhaseGreeting Phase = "greeting"
	PhaseEHLO     Phase = "ehlo"
	PhaseSTARTTLS Phase = "starttls" // also the handshake, even if it is the first thing
	PhaseAuth     Phase = "auth"
	PhaseMail     Phase = "mail"
	PhaseRcpt     Phase = "rcpt"
	PhaseData     Phase = "data" // the DATA command and its answer
	PhaseBody     Phase = "body" // from the first octet of the data, or the first BDAT, to the answer to its end
	PhaseReset    Phase = "rset"
	PhaseQuit     Phase = "quit"
)

// Reply is a server's answer.
type Reply struct {
	Code     int               // three digits
	Enhanced smtp.EnhancedCode // zero if there was none
	Text     string            // without codes; printable UTF-8; lines separated by '\n'; bounded
}

// String is the code, the enhanced code if there is one, and the text, in one line.
func (r Reply) String() string {
	text := strings.ReplaceAll(r.Text, "\n", " ")
	if r.Enhanced == (smtp.EnhancedCode{}) {
		return fmt.Sprintf("%d %s", r.Code, text)
	}
	return fmt.Sprintf("%d %d.%d.%d %s", r.Code, r.Enhanced[0], r.Enhanced[1], r.Enhanced[2], text)
}

// Error is what went wrong in a dialogue: a server's refusal, or, with Code 0, an I/O or protocol error in Err.
type Error struct {
	Phase Phase
	Host  string // Options.ServerName
	Addr  string // what was dialled
	Rung  Rung   // how far down the ladder
	Reply
	// Uncertain means that the connection was lost after the end of the data was sent and before it was answered:
	// the server may have the message.
	Uncertain bool
	// Stale means that a session that had been used before was lost while it was idle: nothing of this message was taken
	// note of, and dialling again is no second attempt.
	Stale bool
	// Err is the I/O or protocol error. If Code is not 0 it is the reason of a decision taken here, without asking the
	// server, such as ErrTooLarge or a [*SyntaxError]; nil if the server has decided.
	Err error
	// Transcript is that of the session if this error has ended it; else Session.Transcript has it.
	Transcript string
}

// Error names the host, the phase and the reply or cause.
func (e *Error) Error() string {
	if e.Code != 0 {
		return fmt.Sprintf("smtpclient: %s: %s: %s", e.Host, e.Phase, e.Reply)
	}
	return fmt.Sprintf("smtpclient: %s: %s: %v", e.Host, e.Phase, e.Err)
}

// Unwrap returns the I/O or protocol error, if there was one.
func (e *Error) Unwrap() error { return e.Err }

// Envelope is what a transaction says before the data.
type Envelope struct {
	From string // reverse-path; "" is the null sender
	// Mail has the parameters of MAIL FROM. Size, Body, Auth and the DSN parameters are sent if the server offers to
	// understand them. UTF8 and RequireTLS are demands: where the server doesn't offer them nothing is sent; RequireTLS also
	// wants a certificate that proves the server's name, or that a TLSConfig.VerifyConnection has taken. SMTPUTF8 is also said
	// where an address needs it.
	Mail smtp.MailOptions
	// Priority is the message's, from -9 to 9 (MT-PRIORITY, RFC 6710), and DeliverBy the time after which it is of no use
	// (DELIVERBY, RFC 2852). They are sent if the server offers to understand them. Default to 0, which is no
	// priority, and to no time.
	Priority  int
	DeliverBy *smtp.DeliverByOptions
	To        []Recipient
}

// Recipient is one RCPT TO.
type Recipient struct {
	Address string // forward-path
	// Rcpt has the parameters of RCPT TO, of which Notify and the original recipient are sent if the server offers DSN. The
	// RFCs have DeliverBy and MTPriority with MAIL, see [Envelope].
	Rcpt smtp.RcptOptions
}

// Result is what became of one recipient in a transaction.
type Result struct {
	// Reply is the answer that decided: to the end of the data if the recipient was accepted, else to whatever was
	// refused. Its Code is 0 if there was none.
	Reply Reply
	Phase Phase
	Host  string        // Options.ServerName
	Addr  string        // what was dialled
	TLS   *Encryption   // nil for plaintext
	Took  time.Duration // since Send was called
	// QueueID is the name that the server has given the message, if it has taken it and said so in a form that is known here:
	// that by which its postmaster can find it.
	QueueID string
	// DSN means that the server was told the parameters of DSN, if there were any. Once it has taken the message, what NOTIFY
	// asks for is up to it; else it is still up to the caller (RFC 3461, section 5.2.2).
	DSN bool
	// Err is nil if and only if the server has taken responsibility for the recipient.
	Err *Error
}

// result is what became of a recipient by now.
func (m *message) result(phase Phase, r Reply, err *Error) Result {
	res := Result{
		Reply: r, Phase: phase, Host: m.s.o.ServerName, Addr: m.s.addr, TLS: m.s.encryption, Took: time.Since(m.began),
		DSN: m.ext.has("DSN"), Err: err,
	}
	if err == nil {
		res.QueueID = queueID(r.Text)
	}
	return res
}
