package retry

// Phase is the step of delivery that an answer belongs to.
type Phase string

// The phases, in the order a delivery goes through them.
const (
	PhaseRoute    Phase = "route" // finding the hosts of the domain, before any was spoken to
	PhaseConnect  Phase = "connect"
	PhaseGreeting Phase = "greeting"
	PhaseEHLO     Phase = "ehlo"
	PhaseSTARTTLS Phase = "starttls"
	PhaseAuth     Phase = "auth"
	PhaseMail     Phase = "mail"
	PhaseRcpt     Phase = "rcpt"
	PhaseData     Phase = "data" // the DATA command and its answer
	PhaseBody     Phase = "body" // from the first octet of the data to the answer after the final dot
	PhaseReset    Phase = "rset"
	PhaseQuit     Phase = "quit"
)

// Reply is an answer to be judged, or the lack of one.
type Reply struct {
	Phase    Phase
	Code     int    // of the last line; 0 if there was no answer: an I/O error, a timeout
	Enhanced string // RFC 3463 code such as "5.1.1", or ""; "#5.1.1" is understood too
	// Uncertain means that the connection was lost after the end of the data was sent and before it was answered.
	Uncertain bool
	// Accepted is how many recipients of the transaction were accepted before this answer.
	Accepted int
	// Relay means that the host is a relay of our own choice, so that refusals may be about our account there.
	Relay bool
}

// Outcome is what an answer makes of those it concerns.
type Outcome string

const (
	// Proceed means that the answer decides nothing yet: the dialogue goes on.
	Proceed Outcome = "proceed"
	// Delivered means that the server has taken responsibility.
	Delivered Outcome = "delivered"
	// Temporary means that another attempt may succeed.
	Temporary Outcome = "temporary"
	// Permanent means that no attempt will.
	Permanent Outcome = "permanent"
	// Uncertain means that the server may have the message: it was all sent, and no answer came.
	Uncertain Outcome = "uncertain"
	// Later means the next transaction on the same host, at once and not counted as an attempt: this one was full. At
	// least one recipient was accepted before, so whoever obeys makes progress.
	Later Outcome = "later"
)

// Scope is whom an answer concerns.
type Scope string

const (
	// ScopeHost is the host and nobody's mail: recipients wait for another host, or for a better time.
	ScopeHost Scope = "host"
	// ScopeTransaction is every recipient that has no refusal of its own yet; an acceptance at RCPT doesn't count.
	ScopeTransaction Scope = "transaction"
	// ScopeRecipient is the recipient that was asked about.
	ScopeRecipient Scope = "recipient"
	// ScopeAccepted is the recipients that were accepted at RCPT.
	ScopeAccepted Scope = "accepted"
)

// Verdict is what an answer means.
type Verdict struct {
	Outcome  Outcome
	Scope    Scope
	NextHost bool // another host of the domain may be tried at once
	Close    bool // the connection must not be used for another transaction
	Bug      bool // somebody has a bug or a wrong configuration, likely we: tell the operator
	// Enhanced is the enhanced code as far as it can be believed: "" if its class contradicts the reply's.
	Enhanced string
}

// Classify judges a reply as RFC 5321, section 4.2.1, says and as experience corrects it:
//
//   - The first digit of the code is its class, whatever the others are: any 2xx after the data is delivered, any 3xx after
//     DATA is leave to go on. A code that isn't three digits is temporary.
//   - No answer is temporary, and uncertain after the end of the data.
//   - The phase says whom it concerns. Before MAIL, and in RSET and QUIT, it is the host, and never permanent: a greeting of
//     554 bounces nothing.
//   - 421 is temporary for all that is unresolved, and the connection is dead, in every phase.
//   - 4xx in a transaction may be tried on one more host at once; a 5xx may not.
//   - 500–509 and 555 say that somebody has a bug. 503, and a 3xx out of place, say that the dialogue is out of step, which
//     is no verdict on the message: temporary.
//   - 452 and 552 to a recipient after others were accepted mean that the transaction is full (RFC 5321, section 4.5.3.1.10),
//     unless the enhanced code speaks of the mailbox. So does the code x.5.3; without an acceptance it is temporary.
//   - An enhanced code of another class than the reply is ignored.
//   - What a relay says about our login, or our right to send, is temporary, whatever its class, and the operator's business.
func Classify(r Reply) Verdict {
	if r.Uncertain {
		return Verdict{Outcome: Uncertain, Scope: ScopeAccepted, Close: true}
	}
	class := r.Code / 100
	enhanced := parseEnhanced(r.Enhanced, class)
	v := Verdict{Scope: scope(r.Phase), Enhanced: enhanced.String()}
	switch {
	case r.expected():
		v.Outcome = Proceed
		if r.Phase == PhaseBody {
			v.Outcome = Delivered
		}
		return v
	case v.Scope == ScopeHost:
		v.Outcome, v.NextHost, v.Close = Temporary, true, true
	case r.Code == 421:
		v.Outcome, v.Scope, v.NextHost, v.Close = Temporary, ScopeTransaction, true, true
	case class == 4 || class == 5:
		r.judge(&v, enhanced)
	default: // no answer, not a reply code, or one that is out of place
		v.Outcome, v.NextHost, v.Close = Temporary, true, true
		if r.Phase == PhaseRcpt {
			v.Scope = ScopeTransaction // what is lost is the connection, for all of them
		}
	}
	if syntax(r.Code) {
		v.Bug, v.Close = true, true
	}
	if r.Phase == PhaseRoute {
		v.NextHost, v.Close = false, false // there is neither
	}
	return v
}

// judge fills in v for a 4xx or 5xx about a message.
func (r Reply) judge(v *Verdict, enhanced enhancedCode) {
	tooMany := enhanced.subject == 5 && enhanced.detail == 3
	full := r.Phase == PhaseRcpt && (r.Code == 452 || r.Code == 552) && (tooMany || r.Accepted > 0 && enhanced.subject != 2)
	switch {
	case full && r.Accepted > 0:
		v.Outcome = Later
	case r.Relay && r.aboutUs(enhanced):
		v.Outcome, v.NextHost, v.Bug = Temporary, true, true
	case r.Code/100 == 4 || r.Code == 503 || full:
		v.Outcome, v.NextHost = Temporary, true
	default:
		v.Outcome = Permanent
	}
}

// aboutUs reports whether a relay's refusal concerns our login or configuration, not the mail: authentication wanted or
// failed (RFC 4954, section 6), or a security subject before the relay has seen any content.
func (r Reply) aboutUs(enhanced enhancedCode) bool {
	switch r.Code {
	case 530, 534, 535, 538:
		return true
	}
	return enhanced.subject == 7 && r.Phase != PhaseBody
}

// expected reports whether the code is one with which the dialogue goes on.
func (r Reply) expected() bool {
	switch r.Phase {
	case PhaseData:
		return r.Code/100 == 3
	case PhaseAuth:
		return r.Code/100 == 2 || r.Code/100 == 3
	}
	return r.Code/100 == 2
}

func scope(p Phase) Scope {
	switch p {
	case PhaseRoute, PhaseMail:
		return ScopeTransaction
	case PhaseRcpt:
		return ScopeRecipient
	case PhaseData, PhaseBody:
		return ScopeAccepted
	}
	return ScopeHost
}

// syntax reports whether the code says that a command was wrong as such.
func syntax(code int) bool { return code >= 500 && code <= 509 || code == 555 }
