// Package smtptest has mail servers for tests, as net/http/httptest has web servers.
//
// [Server] is a good server that keeps what it is sent, and misbehaves where it is told to:
//
//	srv := smtptest.NewServer(nil)
//	defer srv.Close()
//	... send something to srv.Addr ...
//	messages := srv.Messages()
//
// Its Reply function sees each command, and may answer in the server's place:
//
//	smtptest.NewServer(func(c smtptest.Command) string {
//		switch {
//		case c.Verb == "RCPT" && c.Address == "nobody@example.org":
//			return "550 5.1.1 no such user"
//		case c.Verb == ".": // after the message
//			return smtptest.Close // without a word
//		}
//		return "" // as usual
//	})
//
// Server.Dial connects in memory, without a network, so that a test in a testing/synctest bubble can let days pass.
//
// [Proxy] is a long way to a server, and counts how often a client waits for the other end of it.
//
// [Script] is a server that plays a transcript, word for word, for all that a good server would never do.
//
// Nothing here needs a *testing.T, so that examples and demonstrations can use it, too. Servers listen on loopback only
// unless they are given another address, and take no more than 64 KiB of a command or 64 MiB of a message.
package smtptest
