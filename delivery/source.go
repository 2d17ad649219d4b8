package delivery

import (
	"fmt"
	"net/netip"

	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpclient"
)

// Source is a sending address: where connections come from, and what is said there.
type Source struct {
	// Name is what Config.Source and the rates of shaping.Policy call it.
	Name string
	// Hostname is what EHLO says. It should resolve to the addresses, and back. Defaults to Config.Hostname.
	Hostname string
	// Hostname6 is what EHLO says on connections by IPv6. Defaults to Hostname.
	Hostname6 string
	// Addr4 and Addr6 are the local addresses for connections of their family. They default to the system's choice. A
	// Config.Dial of the host program's own makes its own choice.
	Addr4, Addr6 netip.Addr
}

// checkSources fills in the defaults of c.Sources, in a copy of it.
func (c *Config) checkSources() error {
	list := make([]Source, 0, max(len(c.Sources), 1))
	list = append(list, c.Sources...)
	if len(list) == 0 {
		list = append(list, Source{})
	}
	seen := make(map[string]bool)
	for i := range list {
		s := &list[i]
		defaultTo(&s.Hostname, c.Hostname)
		defaultTo(&s.Hostname6, s.Hostname)
		switch {
		case seen[s.Name]:
			return fmt.Errorf("delivery: Config.Sources has two of the name %.100q", s.Name)
		case !validHostname(s.Hostname):
			return fmt.Errorf("delivery: Config.Sources[%d].Hostname %.100q is not a host name", i, s.Hostname)
		case !validHostname(s.Hostname6):
			return fmt.Errorf("delivery: Config.Sources[%d].Hostname6 %.100q is not a host name", i, s.Hostname6)
		case s.Addr4.IsValid() && !s.Addr4.Is4():
			return fmt.Errorf("delivery: Config.Sources[%d].Addr4 is not an IPv4 address", i)
		case s.Addr6.IsValid() && (!s.Addr6.Is6() || s.Addr6.Is4In6()):
			return fmt.Errorf("delivery: Config.Sources[%d].Addr6 is not an IPv6 address", i)
		}
		seen[s.Name] = true
	}
	c.Sources = list
	return nil
}

// sourceOf names the source of a job. A choice that panics, or names none that there is, is the first one.
func (s *Sender) sourceOf(j *queue.Job) (name string) {
	if s.config.Source == nil {
		return s.config.Sources[0].Name
	}
	err := guard(func() error { name = s.config.Source(&j.Message, j.Domain); return nil })
	if err != nil {
		s.trouble(j.Key, err)
	}
	return s.source(name).Name
}

// source returns the source of a name, the first one if there is none.
func (s *Sender) source(name string) *Source {
	for i := range s.config.Sources {
		if s.config.Sources[i].Name == name {
			return &s.config.Sources[i]
		}
	}
	return &s.config.Sources[0]
}

// apply makes sessions come from s.
func (s *Source) apply(o *smtpclient.Options) {
	o.LocalName, o.LocalName6, o.LocalAddr4, o.LocalAddr6 = s.Hostname, s.Hostname6, s.Addr4, s.Addr6
}
