//go:build linux

package smtpclient_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// startOpenSMTPD starts OpenSMTPD, of Debian's opensmtpd. It has neither PIPELINING nor CHUNKING, and logs in over TLS only.
func startOpenSMTPD(t *testing.T) *mailServer {
	passwd := "root:x:0:0::/:/bin/sh\nvmail:x:65534:65534::/:/bin/sh\n"
	for i, name := range []string{"opensmtpd", "opensmtpq", "_smtpd", "_smtpq"} { // before 7.0 and since
		passwd += fmt.Sprintf("%s:x:%d:%[2]d::/:/bin/sh\n", name, 65530+i%2)
	}
	c := newChroot(t, passwd, "usr/sbin/smtpd", "usr/sbin/smtpctl", "usr/libexec/opensmtpd")
	srv := &mailServer{
		name:   "opensmtpd.example",
		roots:  writeCertificate(t, c.path("etc"), "opensmtpd.example"),
		offers: []string{"8BITMIME", "SIZE"},
		refuse: 524,
		boxes:  maildirs(c.path("mail")),
	}
	// Before 7.0 its way to keep keys from the process that talks to strangers breaks on OpenSSL 3. Debian 12 has it so.
	version, _ := c.command("/usr/sbin/smtpd", "-h").CombinedOutput()
	if srv.noTLS = bytes.Contains(version, []byte("OpenSMTPD 6.")); !srv.noTLS {
		srv.logins = []string{"PLAIN", "LOGIN"}
	}
	for _, dir := range []string{"var/spool/smtpd", "var/run", "run", "var/lib/opensmtpd/empty", "var/empty"} {
		must(t, os.MkdirAll(c.path(dir), 0o711))
	}
	must(t, os.Chmod(c.path("var/spool/smtpd"), 0o711))
	write(t, c.path("etc/users"), strings.Join(users, " vmail\n")+" vmail\n")
	write(t, c.path("etc/logins"), username+" "+passwordHash+"\n")
	srv.addr = runServer(t, func(_, port string) *exec.Cmd {
		write(t, c.path("etc/smtpd.conf"), fmt.Sprintf(smtpdConf, port, mostRecipients))
		return c.command("/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf")
	})
	return srv
}

// passwordHash is the password as crypt(3) has it.
const passwordHash = "$6$postroad$CPRv5J7WuG1PQi0C3Z.ndaaxoqRuW7R657ToH8nQBMiaNAQ5flMVvH1wInTZuZiNdPRqtkhH7nSx8lVMRhXN91"

const smtpdConf = `
pki own cert "/etc/cert.pem"
pki own key "/etc/key.pem"
table users file:/etc/users
table logins file:/etc/logins
smtp max-message-size "40M"
smtp limit max-rcpt %[2]d
listen on 127.0.0.1 port %[1]s tls pki own auth-optional <logins> hostname opensmtpd.example
action "mailbox" maildir "/mail/%%{rcpt}" virtual <users>
match from any for domain "example.org" action "mailbox"
`
