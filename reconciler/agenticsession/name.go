package agenticsession

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// MaxNameLength is the longest name of an AgenticSession: the operator makes a
// Service named session-<name>, which may have 63 characters.
const MaxNameLength = 55

// Name returns the name of the AgenticSession of the session with the exact
// upstream id: its lower-case form, which people can match by eye.
func Name(id string) string {
	name := strings.ToLower(id)
	if len(name) <= MaxNameLength && len(validation.IsDNS1123Label(name)) == 0 {
		return name
	}
	return "session-" + hash(id)
}

// AlternativeName returns the name to use where Name is taken by an object of
// another session: ids differ in case, names don't.
func AlternativeName(id string) string {
	const separator = "-"
	suffix := separator + hash(id)[:5]
	name := Name(id)
	if limit := MaxNameLength - len(suffix); len(name) > limit {
		name = name[:limit]
	}
	return strings.TrimRight(name, separator) + suffix
}

// hash returns 10 characters that are lower-case letters or digits, different
// for different ids.
func hash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:10]
}

// ValidID tells whether an upstream id can be carried by a label, and so
// projected at all.
func ValidID(id string) bool {
	return id != "" && len(validation.IsValidLabelValue(id)) == 0
}
