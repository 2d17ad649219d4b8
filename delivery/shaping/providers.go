package shaping

import (
	"slices"
	"strings"
)

// Provider is a large receiver of mail whose wishes are known.
type Provider struct {
	Name  string   // its site name
	Hosts []string // domains of its mail hosts: names that end in one of them are its
	// Limits are those in public use by large senders.
	Limits Limits
}

// providers is never changed.
var providers = []Provider{
	{"google", []string{"google.com", "googlemail.com", "gmail.com"}, Limits{Connections: 5, Messages: 50}},
	{"microsoft", []string{"outlook.com", "mx.microsoft", "office365.com", "hotmail.com"}, Limits{Connections: 5, Messages: 50}},
	{"yahoo", []string{"yahoodns.net", "mail.yahoo.com"}, Limits{Messages: 20}},
	{"apple", []string{"icloud.com", "apple.com"}, Limits{Connections: 10, Messages: 5}},
	{"orange", []string{"orange.fr", "wanadoo.fr"}, Limits{Connections: 2}},
	{"gmx", []string{"gmx.net", "web.de"}, Limits{Connections: 4, Messages: 20}},
	{"mimecast", []string{"mimecast.com", "mimecast.co.za", "mimecast-offshore.com"}, Limits{Connections: 10, Messages: 100}},
	{"comcast", []string{"comcast.net"}, Limits{}},
}

// Providers returns a copy of the shipped table.
func Providers() []Provider {
	list := slices.Clone(providers)
	for i := range list {
		list[i].Hosts = slices.Clone(list[i].Hosts)
	}
	return list
}

func shippedLimits(name string) Limits {
	for i := range providers {
		if providers[i].Name == name {
			return providers[i].Limits
		}
	}
	return Limits{}
}

// isProvider reports whether there is a provider of that name.
func isProvider(name string) bool {
	return slices.ContainsFunc(providers, func(p Provider) bool { return p.Name == name })
}

// providerOf returns the name of the provider whose site that is, or all of whose hosts, with or without ports, are named in
// it; "" if there is none.
func providerOf(site string) string {
	if isProvider(site) {
		return site
	}
	first, rest, more := strings.Cut(site, ",")
	name := hostProvider(first)
	for more && name != "" {
		first, rest, more = strings.Cut(rest, ",")
		if hostProvider(first) != name {
			return ""
		}
	}
	return name
}

// hostProvider returns the name of the provider that a host is of, or "".
func hostProvider(host string) string {
	host = hostName(host)
	for i := range providers {
		for _, domain := range providers[i].Hosts {
			if host == domain || strings.HasSuffix(host, domain) && host[len(host)-len(domain)-1] == '.' {
				return providers[i].Name
			}
		}
	}
	return ""
}

// hostName is a host's name as patterns have it: in lower case, without port and final dot, and bounded.
func hostName(host string) string {
	host, _, _ = strings.Cut(host, ":")
	if len(host) > maxName {
		return ""
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
