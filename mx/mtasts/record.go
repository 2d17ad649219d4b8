package mtasts

import (
	"strings"

	"github.com/postroad/postroad/mx"
)

// policyID returns the id in the TXT records of _mta-sts.<domain>. It is "" if there is no record with one, or more than one
// record: then the domain has no policy to be fetched (RFC 8461, section 3.1).
func policyID(records []mx.Record) string {
	var id string
	found := 0
	for _, record := range records {
		if fields, ok := cutVersion(record.Text); ok {
			id = parseFields(fields)
			found++
		}
	}
	if found != 1 {
		return ""
	}
	return id
}

// cutVersion returns what follows the version, if text is a record about MTA-STS at all.
func cutVersion(text string) (fields string, ok bool) {
	rest, ok := strings.CutPrefix(text, "v=STSv1")
	if !ok {
		return "", false
	}
	return strings.CutPrefix(strings.TrimLeft(rest, " \t"), ";")
}

// parseFields returns the id among a record's fields, "" if the record isn't valid. A second id is ignored (RFC 8461,
// section 3.2), and so are fields that aren't known.
func parseFields(fields string) string {
	id := ""
	fields = strings.TrimRight(fields, " \t")
	for field := range strings.SplitSeq(strings.TrimSuffix(fields, ";"), ";") {
		key, value, found := strings.Cut(strings.Trim(field, " \t"), "=")
		switch {
		case !found || !validKey(key) || !validExtension(value):
			return ""
		case key != "id" || id != "":
		case !validID(value):
			return ""
		default:
			id = value
		}
	}
	return id
}

// validExtension holds the value of any field to the grammar of sts-ext-value.
func validExtension(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '=' || s[i] == ';' {
			return false
		}
	}
	return s != ""
}

func validID(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for i := range len(s) {
		if !isAlphanumeric(s[i]) {
			return false
		}
	}
	return true
}
