package mx

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// maxSite is the length from which on a site's name is a digest: sites are kept in memory.
const maxSite = 255

// site names the site of hosts.
func (r *Resolver) site(list []exchanger) string {
	providers := r.Providers
	if providers == nil {
		providers = shipped
	}
	return cmp.Or(providerOf(providers, list), siteOf(list))
}

// siteOf returns the sorted names of the hosts.
func siteOf(list []exchanger) string {
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.host
	}
	slices.Sort(names)
	site := strings.Join(names, ",")
	if len(site) <= maxSite {
		return site
	}
	digest := sha256.Sum256([]byte(site))
	return fmt.Sprintf("%.150s,...%x", names[0], digest[:16])
}
