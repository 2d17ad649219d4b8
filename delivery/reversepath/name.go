package reversepath

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// mark is what no encoded name contains. It comes before a digest and before a signature.
const mark = "__"

const (
	digestOctets = 15
	digestSize   = len(mark) + digestOctets*8/5
)

// Digest returns what stands for a name that is too long for a reverse-path: 24 lower-case letters and digits, of 120 bits of its
// SHA-256. It is the same for every [Mailbox], so that a program can store it beside the name.
func Digest(name string) string {
	sum := sha256.Sum256([]byte(name))
	return text().EncodeToString(sum[:digestOctets])
}

// encode writes a name with characters that go through any server. It can be followed by anything.
func encode(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case isLowerDigit(c) || c == '-' || c == '.' && !dotNeedsEscape(name, i):
			b.WriteByte(c)
		case c == '@':
			b.WriteByte('=')
		default:
			b.WriteByte('_')
			b.WriteString(hex.EncodeToString([]byte{c}))
		}
	}
	return b.String()
}

// dotNeedsEscape reports whether the dot at i would be at an end, or beside another one, where a local part can't have it.
func dotNeedsEscape(name string, i int) bool {
	return i == 0 || i == len(name)-1 || name[i-1] == '.'
}

// decode reads what encode, or a digest, has become. It takes only what For makes, so that no name has two forms.
func decode(local string) (Returned, error) {
	if digest, found := strings.CutPrefix(local, mark); found {
		if sum, err := text().DecodeString(digest); err != nil || len(sum) != digestOctets {
			return Returned{}, ErrForeign
		}
		return Returned{Digest: digest}, nil
	}
	var name []byte
	for i := 0; i < len(local); i++ {
		switch c := local[i]; c {
		case '=':
			name = append(name, '@')
		case '_':
			octet, err := hex.DecodeString(local[i+1 : min(i+3, len(local))])
			if err != nil || len(octet) != 1 {
				return Returned{}, ErrForeign
			}
			name = append(name, octet[0])
			i += 2
		default:
			name = append(name, c)
		}
	}
	if local == "" || encode(string(name)) != local {
		return Returned{}, ErrForeign
	}
	return Returned{Name: string(name), Digest: Digest(string(name))}, nil
}

// isDotted reports whether s is atoms between dots: of ASCII letters, digits and the characters of more.
func isDotted(s, more string) bool {
	const lettersDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.Trim(atom, lettersDigits+more) != "" {
			return false
		}
	}
	return true
}

func isLowerDigit(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
