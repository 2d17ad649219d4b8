package smtptest

import "crypto/tls"

// Answers of a Reply function that are none. They may follow a reply: "550 go away" + Close.
const (
	// Close closes the connection.
	Close = "\x00close"
	// Stall says nothing more, until the client goes away or the server is closed.
	Stall = "\x00stall"
)

// Command is what a Reply function is asked about.
type Command struct {
	// Verb is the command's first word in upper case; "CONNECT" before the greeting; "AUTH" once the server has made up its
	// mind about the client; "BDAT" after its octets; and "." after the final dot, or after a last BDAT that wasn't refused.
	Verb string
	// Arg is the rest of the line, as it is.
	Arg string
	// Address is that of MAIL and RCPT, without brackets, and, in LMTP, of the recipient for whom "." is answered.
	Address string
	// Conn is the number of the connection, from 1.
	Conn int
	// Message is the transaction so far: Data is set when Verb is ".". It is not to be changed.
	Message *Message
}

// Message is what a client has sent.
type Message struct {
	Conn   int                  // the number of the connection, from 1
	Helo   string               // the name that the client said last
	TLS    *tls.ConnectionState // nil for plaintext
	User   string               // who has logged in
	From   string               // reverse-path, without brackets
	Params string               // of MAIL, such as "SIZE=120 BODY=8BITMIME"
	To     []Recipient          // those that were accepted; in LMTP, those who got it
	Data   []byte               // the content, as it was before dots were doubled or chunks were made of it
}

// Recipient is an accepted RCPT.
type Recipient struct {
	Address string
	Params  string // such as "NOTIFY=NEVER"
}
