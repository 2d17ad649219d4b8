//go:build linux

package smtpclient_test

import (
	"fmt"
	"slices"
	"strings"
)

// letter is a message and its recipients.
type letter struct {
	name  string
	to    []string
	text  string
	large bool
}

// The mailboxes of every server, at least, and addresses that none has.
var (
	users       = numbered("user%d@example.org", 10)
	strangers   = numbered("stranger%d@example.org", 10)
	unicodeUser = "jürgen@example.org"
)

const username, password = "postroad", "correct horse"

func numbered(format string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf(format, i))
	}
	return list
}

func known(address string) bool { return !slices.Contains(strangers, address) }

func mixed(a, b []string) (list []string) {
	for i := range a {
		list = append(list, a[i], b[i])
	}
	return list
}

// oddLines is a message with all that text may have.
var oddLines = strings.ReplaceAll(`Message-ID: <1@client.example.com>
Date: Sun, 22 Nov 2026 07:00:00 +0000
From: Sender <sender@example.com>
To: undisclosed-recipients:;
Subject: odd lines
	that are folded
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

.
..
.one dot
..two dots

From here on
>From there
  spaces before and behind  
	tabs	
Grüße, 世界, 🙂
`+strings.Repeat("x", 998)+`
.`+strings.Repeat("y", 997)+`
QUIT
.

`, "\n", "\r\n")

// long is a message of n octets.
func long(n int) string {
	var b strings.Builder
	b.WriteString(oddLines)
	for i := 0; b.Len() < n-100; i++ {
		fmt.Fprintf(&b, "%.*s%d %.*s\r\n", i%3, "...", i, i%70, strings.Repeat("0123456789", 7))
	}
	b.WriteString(strings.Repeat("z", n-2-b.Len()) + "\r\n")
	return b.String()
}

func numberedLetter(i int) string {
	return strings.Replace(oddLines, "Subject: odd", fmt.Sprintf("Subject: number %d\r\nX-Lines: odd", i), 1)
}
