//go:build linux

package smtpclient_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// startPostfix starts Postfix, of Debian's postfix, which logs in with Cyrus SASL.
func startPostfix(t *testing.T) *mailServer {
	if os.Getuid() != 0 {
		missing(t, "only root can start Postfix")
	}
	for program, pkg := range map[string]string{"postfix": "postfix", "saslpasswd2": "sasl2-bin"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, "Debian's package "+pkg+" is not installed: "+err.Error())
		}
	}
	dir := newFolder(t)
	for _, name := range []string{"queue", "data", "mail"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	owner := userID(t, "postfix")
	must(t, os.Chown(filepath.Join(dir, "data"), owner, -1))
	chown(t, filepath.Join(dir, "mail"), nobody)
	etc := filepath.Join(dir, "etc")
	srv := &mailServer{
		name:   "postfix.example",
		roots:  writeCertificate(t, etc, "postfix.example"),
		offers: []string{"PIPELINING", "CHUNKING", "SMTPUTF8", "8BITMIME", "SIZE"},
		logins: []string{"SCRAM-SHA-256", "PLAIN", "LOGIN"},
		refuse: 550,
		boxes:  maildirs(filepath.Join(dir, "mail")),
	}
	addUser(t, etc, owner)
	table := unicodeUser + "=" + unicodeUser + "/"
	for _, address := range users {
		table += ", " + address + "=" + address + "/"
	}
	write(t, filepath.Join(etc, "main.cf"), fmt.Sprintf(mainCF, dir, table, nobody, mostRecipients))
	showLog(t, filepath.Join(dir, "mail.log"))
	daemons, err := exec.Command("postconf", "-c", etc, "-h", "daemon_directory").Output()
	must(t, err)
	srv.addr = runServer(t, func(addr, _ string) *exec.Cmd {
		write(t, filepath.Join(etc, "master.cf"), addr+masterCF)
		if out, err := exec.Command("postfix", "-c", etc, "check").CombinedOutput(); err != nil { // makes the queue's folders
			t.Fatalf("postfix check: %v: %s", err, out)
		}
		// Its master process itself, so that it can be stopped by its number.
		return exec.Command(filepath.Join(strings.TrimSpace(string(daemons)), "master"), "-c", etc)
	})
	return srv
}

func userID(t *testing.T, name string) int {
	t.Helper()
	out, err := exec.Command("id", "-u", name).Output()
	must(t, err)
	id, err := strconv.Atoi(strings.TrimSpace(string(out)))
	must(t, err)
	return id
}

// addUser makes the user who can log in.
func addUser(t *testing.T, etc string, owner int) {
	t.Helper()
	db := filepath.Join(etc, "sasldb2")
	cmd := exec.Command("saslpasswd2", "-p", "-c", "-f", db, "-u", "postfix.example", username)
	cmd.Stdin = strings.NewReader(password)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("saslpasswd2: %v: %s", err, out)
	}
	must(t, os.Chown(db, owner, -1))
	write(t, filepath.Join(etc, "sasl", "smtpd.conf"), fmt.Sprintf(saslConf, db))
}

const saslConf = `
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: %s
mech_list: SCRAM-SHA-256 PLAIN LOGIN
`

const mainCF = `
compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/mail.log
maillog_file_prefixes = %[1]s
myhostname = postfix.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
biff = no
in_flow_delay = 0
smtpd_error_sleep_time = 0
message_size_limit = 40000000
smtpd_recipient_limit = %[4]d

# Names are not looked up, and headers are left as they are.
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
local_header_rewrite_clients =

virtual_mailbox_domains = example.org
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_limit = 0
virtual_mailbox_maps = inline:{ %[2]s }
virtual_uid_maps = static:%[3]d
virtual_gid_maps = static:%[3]d

smtpd_tls_security_level = may
smtpd_tls_chain_files = %[1]s/etc/key.pem, %[1]s/etc/cert.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = postfix.example
smtpd_tls_auth_only = yes
cyrus_sasl_config_path = %[1]s/etc/sasl
`

const masterCF = ` inet n - n - - smtpd
cleanup    unix  n  -  n  -     0  cleanup
qmgr       unix  n  -  n  300   1  qmgr
tlsmgr     unix  -  -  n  1000? 1  tlsmgr
rewrite    unix  -  -  n  -     -  trivial-rewrite
bounce     unix  -  -  n  -     0  bounce
defer      unix  -  -  n  -     0  bounce
trace      unix  -  -  n  -     0  bounce
verify     unix  -  -  n  -     1  verify
proxymap   unix  -  -  n  -     -  proxymap
proxywrite unix  -  -  n  -     1  proxymap
error      unix  -  -  n  -     -  error
retry      unix  -  -  n  -     -  error
virtual    unix  -  n  n  -     -  virtual
anvil      unix  -  -  n  -     1  anvil
postlog    unix-dgram n - n -   1  postlogd
`
