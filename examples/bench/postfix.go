package main

// mainCF is Postfix's configuration, of a folder, the sink's address and a number of connections. What isn't about where things
// are lets it work as fast as it can on a small machine: it looks no names up, rewrites nothing, encrypts nothing, holds nobody
// back, keeps its processes and its connections to the sink, and has as many connections in as the bench makes.
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
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
local_header_rewrite_clients =
smtp_tls_security_level = none
smtpd_tls_security_level = none
relayhost = [%[2]s]:%[3]d

in_flow_delay = 0
max_use = 100000
default_process_limit = %[4]d
smtpd_client_connection_count_limit = 0
qmgr_message_active_limit = 50000
qmgr_message_recipient_limit = 50000
initial_destination_concurrency = 20
default_destination_concurrency_limit = 20
smtp_connection_cache_destinations = static:all
smtp_connection_reuse_count_limit = 0
smtp_connection_reuse_time_limit = 3600s
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
smtp       unix  -  -  n  -     -  smtp
relay      unix  -  -  n  -     -  smtp
error      unix  -  -  n  -     -  error
retry      unix  -  -  n  -     -  error
anvil      unix  -  -  n  -     1  anvil
scache     unix  -  -  n  -     1  scache
postlog    unix-dgram n - n -   1  postlogd
`
