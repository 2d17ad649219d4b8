package smtpclient

import "strings"

const maxQueueID = 128 // octets

// idForms are what stands before the queue ID in the texts of servers.
var idForms = [...]string{
	"queued as ",       // Postfix, and most that say what it says
	"queued with id ",  // Stalwart
	"message queued (", // Haraka
	"internalid=",      // Exchange
	"sessionid=<",      // Cyrus
	"ids=",             // KumoMTA
	"id=",              // Exim, GMX
}

// queueID finds in the text of the answer to a message the name that the server has given it, "" if there is none in a form that
// is known.
func queueID(text string) string {
	text = text[strings.LastIndexByte(text, '\n')+1:]
	for _, form := range idForms {
		if rest, ok := cutAfter(text, form); ok {
			return cleanID(rest)
		}
	}
	words := [8]string{}
	n := 0
	for w := range strings.FieldsSeq(text) {
		if n == len(words) {
			break
		}
		words[n] = w
		n++
	}
	return wordID(words[:n])
}

// wordID is for the forms in which the ID stands between words.
func wordID(w []string) string {
	id := ""
	switch n := len(w); {
	case n == 4 && isWord(w[0], "ok") && w[2] == "qp": // qmail: ok 1712345678 qp 4711
		return cleanID(w[1]) + " qp " + cleanID(w[3])
	case n == 5 && isWord(w[1], "message") && isWord(w[2], "accepted") && isWord(w[4], "delivery"): // sendmail, OpenSMTPD
		id = w[0]
	case n == 5 && isWord(w[0], "ok") && w[4] == "gsmtp": // Google: OK 1712345678 a1-2002si4711.17 - gsmtp
		id = w[2]
	case n == 4 && isWord(w[0], "ok") && isWord(w[1], "message") && isWord(w[3], "accepted"): // Cisco
		id = w[2]
	case n == 3 && strings.HasPrefix(w[0], "<") && isWord(w[2], "saved"): // Dovecot
		id = w[1]
	case n == 2 && isWord(w[0], "ok") && len(w[1]) >= 8: // Amazon, Momentum, Courier
		id = w[1]
	}
	if !strings.ContainsAny(id, "0123456789") {
		return "" // a word like any other
	}
	return cleanID(id)
}

// isWord compares without case and punctuation.
func isWord(w, want string) bool { return strings.EqualFold(strings.TrimRight(w, ".:,"), want) }

// cutAfter is what stands in text after form, which is in lower case and begins a word.
func cutAfter(text, form string) (rest string, ok bool) {
	for i := 0; i+len(form) <= len(text); i++ {
		if (i == 0 || !isAlphanumeric(text[i-1])) && strings.EqualFold(text[i:i+len(form)], form) {
			return text[i+len(form):], true
		}
	}
	return "", false
}

// cleanID is the ID that s begins with, "" if it is none.
func cleanID(s string) string {
	s = strings.TrimLeft(s, "<(")
	n := 0
	for n < len(s) && (isAlphanumeric(s[n]) || strings.IndexByte("-_.+/=@:$!~", s[n]) >= 0) {
		n++
	}
	s = strings.TrimRight(s[:n], ".:")
	if len(s) > maxQueueID {
		return ""
	}
	return s
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
