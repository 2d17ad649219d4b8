package retry

import (
	"fmt"
	"strconv"
	"strings"
)

// enhancedCode is the code of RFC 3463, section 2. The zero value is none.
type enhancedCode struct {
	class, subject, detail int
}

// String returns the code with dots, "" for none.
func (c enhancedCode) String() string {
	if c == (enhancedCode{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", c.class, c.subject, c.detail)
}

// parseEnhanced reads a code of the given class. Whatever is not one, such as an IP address or a code of another class,
// is none.
func parseEnhanced(s string, class int) enhancedCode {
	first, rest, _ := strings.Cut(strings.TrimPrefix(s, "#"), ".")
	second, third, _ := strings.Cut(rest, ".")
	if first != strconv.Itoa(class) || class != 2 && class != 4 && class != 5 {
		return enhancedCode{}
	}
	subject, ok := digits(second)
	detail, ok2 := digits(third)
	if !ok || !ok2 {
		return enhancedCode{}
	}
	return enhancedCode{class, subject, detail}
}

// digits reads one to three of them.
func digits(s string) (int, bool) {
	if len(s) < 1 || len(s) > 3 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}
