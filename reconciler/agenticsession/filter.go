package agenticsession

import "strings"

// reservedPrefixes are domains whose labels and annotations mean something to
// the operator, to us or to a tool that manages the Session: on the projected
// object they would drive the one or confuse the other.
var reservedPrefixes = []string{
	"ambient.io/",
	"ambient-code.io/",
	"vteam.ambient-code/",
	"kubectl.kubernetes.io/",
	"argocd.argoproj.io/",
	"meta.helm.sh/",
	"k8s.io/",
}

// reservedSuffixes end the domains of which every subdomain is reserved.
var reservedSuffixes = []string{".toolkit.fluxcd.io", ".k8s.io"}

const reservedKey = "app.kubernetes.io/instance"

// Reserved tells whether the label or annotation key must not be copied from a
// Session to its AgenticSession.
func Reserved(key string) bool {
	if key == reservedKey {
		return true
	}
	for _, prefix := range reservedPrefixes {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	domain, _, qualified := strings.Cut(key, "/")
	if !qualified {
		return false
	}
	for _, suffix := range reservedSuffixes {
		if strings.HasSuffix(domain, suffix) {
			return true
		}
	}
	return false
}
