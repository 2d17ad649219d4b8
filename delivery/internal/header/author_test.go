package header

import "testing"

func TestAuthorDomain(t *testing.T) {
	for from, want := range map[string]string{
		"ann@a.example":                               "a.example",
		"Ann <ann@A.example>, ben@b.example":          "A.example",
		`"a@b" <"x@y"@a.example>`:                     "a.example",
		"=?iso-2022-jp?B?GyRCOzNFRBsoQg==?= <a@b.jp>": "b.jp",
		"=?unheard-of?q?x?= <ann@a.example>":          "a.example",
		"Editors: ;":                                  "",
		"Editors: ann@a.example, ben@b.example;":      "a.example",
		"Zoë <zoë@bücher.example>":                    "bücher.example",
	} {
		if got, err := AuthorDomain(from); got != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", from, got, err, want)
		}
	}
	for _, from := range []string{"", "Ann", "ann@", "<ann@a.example"} {
		if got, err := AuthorDomain(from); err == nil {
			t.Errorf("%q: %q", from, got)
		}
	}
}
