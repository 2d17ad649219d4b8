package delivery

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/postroad/postroad/delivery/internal/address"
	"github.com/postroad/postroad/queue"
)

// Selector says which mail a command is about: what has everything that is set. One with nothing set is all mail.
type Selector struct {
	ID     queue.ID `json:"id,omitempty"`
	Domain string   `json:"domain,omitempty"` // or an address literal
	// Site is the name under which limits apply: a provider's, or the sorted names of MX hosts. The queue knows domains only; to
	// which site one belongs is learned by Run when it first sends there, and forgotten when it ends. Rules ([Sender.Pause],
	// [Sender.Reroute]) look at it when mail is about to go, and miss nothing. But [Sender.Hold] and the other commands for what is in
	// the queue now find only domains that Run has learned; one that it hasn't, or any while it doesn't run, is taken for a site
	// of its own name.
	Site   string `json:"site,omitempty"`
	Tenant string `json:"tenant,omitempty"`
	Label  string `json:"label,omitempty"` // one of the message's
}

// String names the fields that are set, such as "domain=example.org tenant=shop".
func (s Selector) String() string {
	var words []string
	for _, f := range []struct{ name, value string }{
		{"id", string(s.ID)}, {"domain", s.Domain}, {"site", s.Site}, {"tenant", s.Tenant}, {"label", s.Label},
	} {
		if f.value != "" {
			words = append(words, f.name+"="+f.value)
		}
	}
	if words == nil {
		return "all mail"
	}
	return strings.Join(words, " ")
}

// maxSelector bounds the names in a selector, in octets together: several fit into a note.
const maxSelector = 4096

// checked returns s with its domain in the form that jobs have, and refuses what no mail could have.
func (s Selector) checked() (Selector, error) {
	names := s.Domain + s.Site + s.Tenant + s.Label
	switch {
	case s.ID != "" && !s.ID.Valid():
		return s, fmt.Errorf("delivery: selector: %.80q is no ID", s.ID)
	case len(names) > maxSelector:
		return s, fmt.Errorf("delivery: selector is longer than %d octets", maxSelector)
	case !utf8.ValidString(s.Site) || !utf8.ValidString(s.Tenant) || !utf8.ValidString(s.Label):
		return s, errors.New("delivery: selector is not UTF-8")
	case s.Domain == "":
		return s, nil
	}
	domain, err := destination(s.Domain)
	if err != nil {
		return s, fmt.Errorf("delivery: selector: %.80q is no domain", s.Domain)
	}
	s.Domain = domain
	return s, nil
}

// destination returns a domain or an address literal in the form of queue.Job.
func destination(domain string) (string, error) {
	a, err := address.Parse("x@" + domain)
	return a.Domain, err
}

// matches reports whether a job that goes to a site is selected.
func (s Selector) matches(j *queue.Job, site string) bool {
	f := s.filter()
	return f.Match(j) && (s.Site == "" || s.Site == site)
}

// filter is the selector in the queue's words, but for the site, of which it knows nothing.
func (s Selector) filter() queue.Filter {
	return queue.Filter{ID: s.ID, Domain: s.Domain, Tenant: s.Tenant, Label: s.Label}
}

// weight says how particular a selector is: any with an ID more than any without, then a label, a domain, a tenant, a site.
func (s Selector) weight() (w int) {
	for i, field := range []string{s.Site, s.Tenant, s.Domain, s.Label, string(s.ID)} {
		if field != "" {
			w += 1 << i
		}
	}
	return w
}
