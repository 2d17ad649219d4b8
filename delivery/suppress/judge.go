package suppress

import (
	"regexp"
	"strings"

	"github.com/postroad/postroad/queue"
)

// Finding is what a reply says of the address it is about. The zero Finding is nothing.
type Finding struct {
	Reason Reason
	// Domain says that it is so for all addresses of the domain.
	Domain bool
	// Sure says that there is no need to hear it again.
	Sure bool
}

// Judge tells what a reply that has failed a recipient says of the address. It is nothing if the reply is about us, our message or
// the way there, and wherever it can't be told:
//
//   - After RCPT the codes 5.1.1, 5.1.2, 5.1.3, 5.1.6 and 5.1.10 mean that there is no such user, and so do replies of 521 and 556,
//     and those of 550, 551 and 553 that have no enhanced code and don't speak of block lists, relaying or policy.
//   - X.2.2, and 552 without an enhanced code, mean that the mailbox is full, 5.2.1 that it is disabled. Neither is sure.
//   - After DATA only an enhanced code counts, and nothing is sure: the reply may be meant for another recipient.
//   - That the domain doesn't exist, or takes no mail (RFC 7505), is believed of the whole domain if DNS has said so. If a host says
//     it, it is believed of the one address: no host's mistake is to close a large provider.
//   - An enhanced code of another class than the reply says nothing, and makes the reply say nothing. Some servers put the code at
//     the end of their text, as "(#5.1.1)".
func Judge(r queue.Reply) Finding {
	class, code := enhanced(&r)
	if r.Phase == "route" {
		if r.Host == "" && class == '5' && (code == "1.2" || code == "1.10") {
			return Finding{Reason: NoSuchDomain, Domain: true, Sure: true}
		}
		return Finding{}
	}
	rcpt := r.Phase == "rcpt"
	if !rcpt && r.Phase != "data" && r.Phase != "body" || r.Code/100 != 4 && r.Code/100 != 5 {
		return Finding{}
	}
	switch {
	case code == "":
		if rcpt {
			return bare(&r)
		}
	case class != '0'+byte(r.Code/100):
	case code == "2.2":
		return Finding{Reason: MailboxFull}
	case class != '5' || strings.HasPrefix(code, "7."):
	case code == "2.1":
		return Finding{Reason: Inactive}
	case isNoSuchUser(code), rcpt && (r.Code == 521 || r.Code == 556):
		return Finding{Reason: NoSuchUser, Sure: rcpt}
	}
	return Finding{}
}

// bare judges a reply to RCPT that has no enhanced code.
func bare(r *queue.Reply) Finding {
	switch r.Code {
	case 521, 556:
		return Finding{Reason: NoSuchUser, Sure: true}
	case 550, 551, 553:
		if !aboutUs.MatchString(r.Text) {
			return Finding{Reason: NoSuchUser, Sure: true}
		}
	case 552:
		return Finding{Reason: MailboxFull}
	}
	return Finding{}
}

// aboutUs matches what servers that know no enhanced codes say when it is not the recipient that they mind. It matches more
// than it need: an address that isn't suppressed fails again, and no harm is done.
var aboutUs = regexp.MustCompile(`(?i)block|black ?list|black-list|listed|\brbl\b|dnsbl|spam|abus|virus|reputation|policy|polici|prohibit` +
	`|denied|deny|not permitted|rcpthosts|reject due|relay|authenti|authoriz|\bauth\b|\bspf\b|dkim|dmarc|\bptr\b|reverse|rdns|\bhelo\b|\behlo\b` +
	`|\bip\b|\bdns\b|sender|\brate\b|too many|too much|limit|\btls\b|suspicious|content|https?:`)

func isNoSuchUser(code string) bool {
	switch code {
	case "1.1", "1.2", "1.3", "1.6", "1.10":
		return true
	}
	return false
}

var (
	codeForm   = regexp.MustCompile(`^([245])\.(\d{1,3}\.\d{1,3})$`)
	codeInText = regexp.MustCompile(`#([245])\.(\d{1,3}\.\d{1,3})\b`)
)

// enhanced returns the class of a reply's enhanced code, and the rest of it; "" if there is none. What isn't one is of no class.
func enhanced(r *queue.Reply) (class byte, rest string) {
	m := codeForm.FindStringSubmatch(r.Enhanced)
	if r.Enhanced == "" {
		m = codeInText.FindStringSubmatch(r.Text)
	}
	if m == nil {
		return 0, r.Enhanced
	}
	return m[1][0], m[2]
}
