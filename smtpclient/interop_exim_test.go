//go:build linux

package smtpclient_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// startExim starts Exim, of Debian's exim4-daemon-light.
func startExim(t *testing.T) *mailServer {
	c := newChroot(t, "root:x:0:0::/:/bin/sh\nDebian-exim:x:65534:65534::/:/bin/sh\n", "usr/sbin/exim4")
	srv := &mailServer{
		name:   "exim.example",
		roots:  writeCertificate(t, c.path("etc"), "exim.example"),
		offers: []string{"PIPELINING", "CHUNKING", "SMTPUTF8", "8BITMIME", "SIZE"},
		logins: []string{"PLAIN", "LOGIN"},
		refuse: 550,
		boxes:  maildirs(c.path("mail")),
	}
	chown(t, c.path("etc/key.pem"), nobody)
	table := ""
	for _, address := range append(slices.Clone(users), unicodeUser) {
		local, _, _ := strings.Cut(address, "@")
		table += local + ": " + address + "\n"
	}
	write(t, c.path("etc/users"), table)
	write(t, c.path("var/spool/exim4/README"), "")
	chown(t, c.path("var/spool/exim4"), nobody)
	showLog(t, c.path("var/spool/exim4/mainlog"))
	srv.addr = runServer(t, func(_, port string) *exec.Cmd {
		write(t, c.path("etc/exim.conf"), fmt.Sprintf(eximConf, port, username, password, mostRecipients))
		return c.command("/usr/sbin/exim4", "-C", "/etc/exim.conf", "-bdf")
	})
	return srv
}

// Exim without its own user's setuid bit delivers as that user.
const eximConf = `
primary_hostname = exim.example
spool_directory = /var/spool/exim4
exim_path = /usr/sbin/exim4
log_file_path = /var/spool/exim4/%%slog
local_interfaces = 127.0.0.1
daemon_smtp_ports = %[1]s
disable_ipv6
deliver_drop_privilege
never_users =
host_lookup =
rfc1413_hosts =
keep_environment =
message_size_limit = 40M
smtp_accept_queue_per_connection = 0
recipients_max = %[4]d
smtputf8_advertise_hosts = *
chunking_advertise_hosts = *
dsn_advertise_hosts = *
tls_advertise_hosts = *
tls_certificate = /etc/cert.pem
tls_privatekey = /etc/key.pem
auth_advertise_hosts = ${if def:tls_in_cipher {*}}
acl_smtp_rcpt = rcpt
acl_smtp_data = data

begin acl
rcpt:
  accept verify = recipient
  deny message = nobody has this address
data:
  accept

begin routers
mailboxes:
  driver = accept
  domains = example.org
  local_parts = lsearch;/etc/users
  transport = mailbox

begin transports
mailbox:
  driver = appendfile
  directory = /mail/$local_part_data
  maildir_format
  create_directory
  envelope_to_add
  return_path_add
  user = Debian-exim

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and {{eq {$auth2}{%[2]s}} {eq {$auth3}{%[3]s}}}}
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and {{eq {$auth1}{%[2]s}} {eq {$auth2}{%[3]s}}}}
`
