package mx

import (
	"maps"
	"strings"
)

// Providers returns the table of providers that a [Resolver] has by default: the site for the hosts at a name and below it. It
// is a copy, to be extended:
//
//	providers := mx.Providers()
//	providers["mx.example.net"] = "example"
//	router := &mx.Resolver{Providers: providers}
func Providers() map[string]string { return maps.Clone(shipped) }

// providerOf returns the provider of all the hosts, or "" if there is no such.
func providerOf(providers map[string]string, list []exchanger) string {
	if len(list) == 0 {
		return ""
	}
	first := siteBelow(providers, list[0].host)
	for _, e := range list[1:] {
		if siteBelow(providers, e.host) != first {
			return ""
		}
	}
	return first
}

// siteBelow returns what the table has for a name or, if it has nothing, for the nearest name above.
func siteBelow(providers map[string]string, name string) string {
	for more := true; more; _, name, more = strings.Cut(name, ".") {
		if site, ok := providers[name]; ok {
			return site
		}
	}
	return ""
}

// shipped has providers whose domains don't all have the same MX hosts, each by names below which all hosts are its own. Where
// customers have hosts below a provider's name, as at comcast.net, single hosts stand for it: what a customer's server says
// must not slow down mail to the provider.
var shipped = map[string]string{
	// Mailboxes.
	"google.com":             "google",
	"googlemail.com":         "google",
	"eo.outlook.com":         "microsoft",
	"mx.microsoft":           "microsoft",
	"office365.us":           "microsoft-gov",
	"partner.outlook.cn":     "microsoft-china",
	"protection.outlook.com": "microsoft",
	"yahoodns.net":           "yahoo",
	"icloud.com":             "apple",
	"messagingengine.com":    "fastmail",
	"protonmail.ch":          "proton",
	"gmx.net":                "gmx",
	"mail.com":               "gmx",
	"web.de":                 "gmx",
	"orange.fr":              "orange",
	"t-online.de":            "t-online",
	"mx1.comcast.net":        "comcast",
	"mx2.comcast.net":        "comcast",
	"mx1a1.comcast.net":      "comcast",
	"mx1c1.comcast.net":      "comcast",
	"mx1h1.comcast.net":      "comcast",
	"mx2a1.comcast.net":      "comcast",
	"mx2c1.comcast.net":      "comcast",
	"mx2h1.comcast.net":      "comcast",
	"emx.mail.ru":            "mail.ru",
	"mxs.mail.ru":            "mail.ru",
	"mx.yandex.net":          "yandex",
	"mx.yandex.ru":           "yandex",
	"mxmail.netease.com":     "netease",
	"qq.com":                 "qq",
	"mxhichina.com":          "aliyun",
	"qiye.aliyun.com":        "aliyun",
	"zoho.com":               "zoho",
	"zoho.com.au":            "zoho",
	"zoho.eu":                "zoho",
	"zoho.in":                "zoho",
	"zoho.jp":                "zoho",
	"zohocloud.ca":           "zoho",
	"zohomail.com":           "zoho",

	// Hosting.
	"1and1.co.uk":                        "ionos",
	"1and1.com":                          "ionos",
	"1and1.es":                           "ionos",
	"1and1.fr":                           "ionos",
	"ionos.co.uk":                        "ionos",
	"ionos.com":                          "ionos",
	"ionos.de":                           "ionos",
	"ionos.es":                           "ionos",
	"ionos.fr":                           "ionos",
	"ionos.it":                           "ionos",
	"kundenserver.de":                    "ionos",
	"perfora.net":                        "ionos",
	"schlund.de":                         "ionos",
	"mail.ovh.net":                       "ovh",
	"mx0.ovh.net":                        "ovh",
	"mx1.ovh.net":                        "ovh",
	"mx2.ovh.net":                        "ovh",
	"mx3.ovh.net":                        "ovh",
	"mx4.ovh.net":                        "ovh",
	"mailstore1.asia.secureserver.net":   "godaddy",
	"mailstore1.europe.secureserver.net": "godaddy",
	"mailstore1.secureserver.net":        "godaddy",
	"smtp.asia.secureserver.net":         "godaddy",
	"smtp.europe.secureserver.net":       "godaddy",
	"smtp.secureserver.net":              "godaddy",

	// Filters and forwarders.
	"antispamcloud.com":     "spamexperts",
	"antispameurope.com":    "hornetsecurity",
	"barracudanetworks.com": "barracuda",
	"gpphosted.com":         "proofpoint",
	"hornetsecurity.com":    "hornetsecurity",
	"hydra.sophos.com":      "sophos",
	"iphmx.com":             "cisco",
	"mailgun.org":           "mailgun",
	"messagelabs.com":       "messagelabs",
	"mimecast-offshore.com": "mimecast",
	"mimecast.co.za":        "mimecast",
	"mimecast.com":          "mimecast",
	"mx.cloudflare.net":     "cloudflare",
	"ppe-hosted.com":        "proofpoint",
	"pphosted.com":          "proofpoint",
	"spamexperts.com":       "spamexperts",
	"tmes.trendmicro.com":   "trendmicro",
	"tmes.trendmicro.eu":    "trendmicro",
}
