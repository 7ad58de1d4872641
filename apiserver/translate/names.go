package translate

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// uidSpace is the name space of the UIDs of all objects. It must never change:
// it would make every object another one.
var uidSpace = uuid.MustParse("6f0c8f0e-3f1d-5b58-9d3b-2a7a3c1f9e64")

// UID returns the UID of the object of a kind that stands for the upstream id
// within a project. A session that moves to another project is another object.
func UID(kind, id, projectID string) types.UID {
	return types.UID(uuid.NewSHA1(uidSpace, []byte(kind+"\x00"+id+"\x00"+projectID)).String())
}

// SessionName returns the name that the session asks for: the one that was chosen
// when it was created through Kubernetes, else the lower-case form of its id.
func (t *Translator) SessionName(row *ambientv1.Session) string {
	if name := reservedName(row.GetAnnotations()); isLabel(name) {
		return name
	}
	id := row.GetMetadata().GetId()
	if name := strings.ToLower(id); isLabel(name) {
		return name
	}
	return "session-" + hashText(id, 10)
}

// SessionNamespace returns the namespace that the session lives in: that of its
// project, or the one for sessions without a usable project.
func (t *Translator) SessionNamespace(row *ambientv1.Session) string {
	return t.namespace(row.GetProjectId())
}

func (t *Translator) namespace(projectID string) string {
	if isLabel(projectID) {
		return projectID
	}
	return t.options.UnassignedNamespace
}

// CollisionName returns the name of an object whose own name is held by another
// one. It is a DNS label when name is one.
func CollisionName(name, id string) string {
	const digits = 5
	if longest := validation.DNS1123LabelMaxLength - digits - 1; len(name) > longest {
		name = strings.TrimRight(name[:longest], "-.")
	}
	return name + "-" + hashText(id, digits)
}

// hashText returns the first hexadecimal digits of a hash of the text.
func hashText(text string, digits int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:digits]
}

// isLabel tells whether the text is a DNS-1123 label, as names and namespaces of
// Kubernetes must be.
func isLabel(text string) bool {
	if text == "" || len(text) > validation.DNS1123LabelMaxLength {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if c == '-' && i > 0 && i < len(text)-1 {
			continue
		}
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9') {
			return false
		}
	}
	return true
}

// isLabelKey tells whether Kubernetes accepts the text as the key of a label.
func isLabelKey(key string) bool {
	name := key
	prefix, rest, prefixed := strings.Cut(key, "/")
	if prefixed {
		name = rest
	}
	if name != "" && isPlain(name) && (!prefixed || isPlainDomain(prefix)) {
		return true
	}
	return len(validation.IsQualifiedName(key)) == 0
}

// isLabelValue tells whether Kubernetes accepts the text as the value of a label.
func isLabelValue(value string) bool {
	return isPlain(value) || len(validation.IsValidLabelValue(value)) == 0
}

// isPlainDomain is a quick yes for common domain names.
func isPlainDomain(text string) bool {
	for part := range strings.SplitSeq(text, ".") {
		if !isLabel(part) {
			return false
		}
	}
	return len(text) <= validation.DNS1123SubdomainMaxLength
}

// isPlain is a quick yes for what almost all labels look like: letters and
// digits, with - _ . between them. The empty text is plain.
func isPlain(text string) bool {
	if len(text) > validation.LabelValueMaxLength {
		return false
	}
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case (c == '-' || c == '_' || c == '.') && i > 0 && i < len(text)-1:
		default:
			return false
		}
	}
	return true
}
