package smtpclient

import (
	"strings"
	"testing"
)

// queueIDs are answers to the end of a message, without codes, as servers have been seen to give them.
var queueIDs = []struct{ server, text, want string }{
	{"Postfix", "Ok: queued as 4XyZ1k2mNpz9rS", "4XyZ1k2mNpz9rS"},
	{"Postfix, short", "Ok: queued as 9B2E71C0AB", "9B2E71C0AB"},
	{"Postfix behind a filter", "from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 9B2E71C0AB", "9B2E71C0AB"},
	{"Exim", "OK id=1tXyZa-0000000ABcd-3CdE", "1tXyZa-0000000ABcd-3CdE"},
	{"GMX", "Requested mail action okay, completed: id=0MabcD-1xYz2b3c4D-00aBCd", "0MabcD-1xYz2b3c4D-00aBCd"},
	{"sendmail", "51M8abcd012345 Message accepted for delivery", "51M8abcd012345"},
	{"OpenSMTPD", "1a2b3c4d Message accepted for delivery", "1a2b3c4d"},
	{"Google", "OK  1712345678 a1-20020a05600c1234b00412si4711567wmq.17 - gsmtp", "a1-20020a05600c1234b00412si4711567wmq.17"},
	{"Exchange", "<x@example.org> [InternalId=123456789012345, Hostname=AB1PR01MB2345.eurprd01.prod.exchangelabs.com] 12345 bytes in 0.123, 97.9 KB/sec Queued mail for delivery", "123456789012345"},
	{"qmail", "ok 1712345678 qp 4711", "1712345678 qp 4711"},
	{"Amazon", "Ok 0100018e1a2b3c4d-5e6f7a8b-1234-5678-9abc-def012345678-000000", "0100018e1a2b3c4d-5e6f7a8b-1234-5678-9abc-def012345678-000000"},
	{"Momentum", "OK 7F/12-34567-89ABCDE6", "7F/12-34567-89ABCDE6"},
	{"Courier", "Ok. 0000000000123456.0000000065F1A2B3.00001267", "0000000000123456.0000000065F1A2B3.00001267"},
	{"Cisco", "ok:  Message 1234567 accepted", "1234567"},
	{"Haraka", "Message Queued (6F1A2B3C-4D5E-6F7A-8B9C-0D1E2F3A4B5C.1)", "6F1A2B3C-4D5E-6F7A-8B9C-0D1E2F3A4B5C.1"},
	{"Stalwart", "Message queued with id 1a2b3c4d5e6f.", "1a2b3c4d5e6f"},
	{"KumoMTA", "OK ids=d7ef132b5d7711eea8c8000c29c33806", "d7ef132b5d7711eea8c8000c29c33806"},
	{"Dovecot", "<ann@example.org> AbCdEfGh+1Zx2QAAqbuG2A Saved", "AbCdEfGh+1Zx2QAAqbuG2A"},
	{"Cyrus", "Ok SESSIONID=<cyrus-4711-1712345678-1-1234567890>", "cyrus-4711-1712345678-1-1234567890"},
	{"several lines", "some words\nqueued as not this\nOk: queued as 9B2E71C0AB", "9B2E71C0AB"},

	{"nothing", "", ""},
	{"go-smtp", "OK: queued", ""},
	{"hMailServer", "Queued (0.031 seconds)", ""},
	{"Domino", "Message accepted for delivery", ""},
	{"Yahoo", "ok dirdel", ""},
	{"words", "OK delivered", ""},
	{"a word that ends like a form", "invalid=5", ""},
	{"too long", "queued as " + strings.Repeat("x", 129), ""},
	{"as long as can be", "queued as " + strings.Repeat("x", 128), strings.Repeat("x", 128)},
}

func TestQueueID(t *testing.T) {
	for _, c := range queueIDs {
		if got := queueID(c.text); got != c.want {
			t.Errorf("%s: %q, want %q", c.server, got, c.want)
		}
	}
	if n := testing.AllocsPerRun(10, func() { queueID(queueIDs[5].text) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever a server says, an ID is short, printable, and part of it.
func FuzzQueueID(f *testing.F) {
	for _, c := range queueIDs {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id := queueID(text)
		if len(id) > 2*maxQueueID+4 || !strings.Contains(strings.Join(strings.Fields(text), " "), strings.Split(id, " qp ")[0]) {
			t.Errorf("%q", id)
		}
		for i := range len(id) {
			if id[i] < ' ' || id[i] > '~' {
				t.Errorf("%q", id)
			}
		}
	})
}
