package smtptest

import (
	"encoding/base64"
	"strings"
)

// auth speaks PLAIN and LOGIN.
func (v *conversation) auth(c Command) bool {
	mechanism, initial, _ := strings.Cut(c.Arg, " ")
	var user, password string
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		text, ok := initial, true
		if initial == "" {
			if text, ok = v.challenge(""); !ok {
				return false
			}
		}
		fields := strings.Split(decode(text), "\x00")
		if len(fields) == 3 {
			user, password = fields[1], fields[2]
		}
	case "LOGIN":
		name, ok := v.challenge("Username:")
		if !ok {
			return false
		}
		secret, ok := v.challenge("Password:")
		if !ok {
			return false
		}
		user, password = decode(name), decode(secret)
	}
	own := "535 5.7.8 no"
	if want, ok := v.s.Users[user]; ok && want == password {
		own = "235 2.7.0 welcome"
	}
	class, ok := v.reply(c, own)
	if class == '2' {
		v.m.User = user
	}
	return ok
}

func (v *conversation) challenge(prompt string) (answer string, ok bool) {
	v.w.WriteString("334 " + base64.StdEncoding.EncodeToString([]byte(prompt)) + "\r\n")
	answer, err := v.readLine()
	return answer, err == nil
}

func decode(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return ""
	}
	return string(b)
}
