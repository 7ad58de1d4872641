package translate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Keys in the annotations of upstream rows. They are never shown as annotations.
const (
	// ReservedAnnotation holds the Reserved of a session or project.
	ReservedAnnotation = "ambient.io/kubernetes"
	// SettingsAnnotation, on a project's row, holds the Reserved of its settings.
	SettingsAnnotation = "ambient.io/project-settings"
)

// ErrMalformedAnnotations says that a row's annotations are not a JSON object, so
// that nothing can be kept in them without destroying them.
var ErrMalformedAnnotations = errors.New("the annotations are not a JSON object")

// Reserved is what the upstream has no column for. It rides as JSON in one
// reserved annotation of the row.
type Reserved struct {
	// Name is the chosen metadata.name of a session born in Kubernetes.
	Name string `json:"name,omitempty"`
	// Token identifies the one request that created the row.
	Token string `json:"token,omitempty"`
	// CreatedBy is the user whose request created the row.
	CreatedBy string `json:"createdBy,omitempty"`
	// GenerateName is metadata.generateName.
	GenerateName string `json:"generateName,omitempty"`
	// Generation is metadata.generation as of our last write, when the hash of
	// the spec was SpecHash.
	Generation int64  `json:"generation,omitempty"`
	SpecHash   string `json:"specHash,omitempty"`

	// ProjectedBy is the one cluster that a project is projected into.
	ProjectedBy types.UID `json:"projectedBy,omitempty"`

	// Cluster is the cluster that the ClusterMetadata belongs to.
	Cluster types.UID `json:"cluster,omitempty"`
	ClusterMetadata
	// Others holds the metadata that belongs to further clusters.
	Others map[types.UID]ClusterMetadata `json:"others,omitempty"`

	// DisplayName is a project's spec.displayName, which the upstream accepts and
	// does not always store.
	DisplayName string `json:"displayName,omitempty"`
	// Conditions, ObservedGeneration and Namespace are the status of a project or
	// of settings.
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Namespace          string             `json:"namespace,omitempty"`

	// Labels and Annotations are those of settings.
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Deleted says that the settings were deleted through Kubernetes. The
	// upstream's row stays, emptied, since it could never be made again.
	Deleted bool `json:"deleted,omitempty"`

	// Unknown holds what another version of this program wrote beside, and members
	// that cannot be read: it is kept.
	Unknown map[string]json.RawMessage `json:"-"`
}

// ClusterMetadata is the metadata that means something in one cluster only.
type ClusterMetadata struct {
	Finalizers                 []string                    `json:"finalizers,omitempty"`
	OwnerReferences            []metav1.OwnerReference     `json:"ownerReferences,omitempty"`
	DeletionTimestamp          *metav1.Time                `json:"deletionTimestamp,omitempty"`
	DeletionGracePeriodSeconds *int64                      `json:"deletionGracePeriodSeconds,omitempty"`
	ManagedFields              []metav1.ManagedFieldsEntry `json:"managedFields,omitempty"`
}

func (m *ClusterMetadata) empty() bool {
	return len(m.Finalizers) == 0 && len(m.OwnerReferences) == 0 && m.DeletionTimestamp == nil &&
		m.DeletionGracePeriodSeconds == nil && len(m.ManagedFields) == 0
}

// in returns the metadata that belongs to the cluster.
func (r *Reserved) in(cluster types.UID) ClusterMetadata {
	if r.Cluster == "" || r.Cluster == cluster {
		return r.ClusterMetadata
	}
	return r.Others[cluster]
}

// set replaces the metadata that belongs to the cluster. That of others stays.
func (r *Reserved) set(cluster types.UID, metadata ClusterMetadata) {
	if equality.Semantic.DeepEqual(r.in(cluster), metadata) {
		return
	}
	if r.Cluster == "" || r.Cluster == cluster {
		r.Cluster, r.ClusterMetadata = cluster, metadata
		if metadata.empty() {
			r.Cluster = ""
		}
		return
	}
	others := make(map[types.UID]ClusterMetadata, len(r.Others)+1)
	for uid, other := range r.Others {
		others[uid] = other
	}
	if others[cluster] = metadata; metadata.empty() {
		delete(others, cluster)
	}
	if r.Others = others; len(others) == 0 {
		r.Others = nil
	}
}

// ReadReserved returns what the reserved annotation holds; false when there is
// none or when it cannot be read.
func ReadReserved(annotationsJSON string) (Reserved, bool) {
	r, state := readReserved(annotationsJSON, ReservedAnnotation)
	return r, state == reservedPresent
}

// reservedState tells whether a reserved annotation could be read.
type reservedState int

const (
	reservedAbsent reservedState = iota
	reservedPresent
	reservedMalformed
)

func readReserved(annotationsJSON, key string) (Reserved, reservedState) {
	raw, found := reservedValue(annotationsJSON, key)
	if !found {
		return Reserved{}, reservedAbsent
	}
	return decodeReserved(raw)
}

// reservedValue returns the JSON value of one key of the annotations.
func reservedValue(annotationsJSON, key string) (raw string, found bool) {
	if !mayHold(annotationsJSON, key) {
		return "", false
	}
	text := annotationsJSON
	members, ok := parseObject(text)
	if !ok {
		text = keepable(annotationsJSON)
		members, _ = parseObject(text)
	}
	for i := len(members) - 1; i >= 0; i-- {
		if members[i].name == key {
			return members[i].valueText.of(text), true
		}
	}
	return "", false
}

// mayHold tells quickly whether it is worth looking for the key. The part after
// the slash is looked for, since some writers of JSON escape slashes.
func mayHold(annotationsJSON, key string) bool {
	return strings.Contains(annotationsJSON, key[strings.IndexByte(key, '/')+1:])
}

// reservedName returns the chosen name alone, since it is asked for more often
// than all the rest.
func reservedName(annotationsJSON string) string {
	raw, found := reservedValue(annotationsJSON, ReservedAnnotation)
	if !found {
		return ""
	}
	text, ok := decodeString(raw)
	if !ok {
		return ""
	}
	members, ok := parseObject(text)
	if !ok {
		return ""
	}
	for i := len(members) - 1; i >= 0; i-- {
		if members[i].name == "name" {
			name, _ := decodeString(members[i].valueText.of(text))
			return name
		}
	}
	return ""
}

// WithReserved returns the annotations with the reserved one set. The bytes and
// the order of the others stay. It fails with ErrMalformedAnnotations.
func WithReserved(annotationsJSON string, r Reserved) (string, error) {
	if !blank(annotationsJSON) {
		if _, ok := parseObject(annotationsJSON); !ok {
			return "", fmt.Errorf("keeping Kubernetes metadata upstream: %w", ErrMalformedAnnotations)
		}
	}
	encoded, err := encodeReserved(r)
	if err != nil {
		return "", err
	}
	return editObject(annotationsJSON, []change{{names: []string{ReservedAnnotation}, value: quote(encoded)}}), nil
}

// encodeReserved writes the text of a reserved annotation.
func encodeReserved(r Reserved) (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return "", fmt.Errorf("encoding Kubernetes metadata: %w", err)
	}
	text := strings.TrimSuffix(b.String(), "\n")
	written, _ := parseObject(text)
	var kept []change
	for _, name := range slices.Sorted(maps.Keys(r.Unknown)) {
		// What could not be read stays until there is something to write in its place.
		if !slices.ContainsFunc(written, func(m member) bool { return strings.EqualFold(m.name, name) }) {
			kept = append(kept, change{names: []string{name}, value: string(r.Unknown[name])})
		}
	}
	if len(kept) == 0 {
		return text, nil
	}
	return editObject(text, kept), nil
}
