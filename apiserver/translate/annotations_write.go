package translate

import (
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// annotationsUpdate says what may have to change in a row's annotations.
type annotationsUpdate struct {
	// text is the column, key the reserved annotation in it that belongs to the
	// object.
	text, key string
	// changes are those of the annotations that are shown.
	changes []change
	// from and to are the object's metadata, before and after its spec.
	from, to      *metav1.ObjectMeta
	before, after hashable
	// also, if set, records content beyond the metadata.
	also func(*Reserved)
}

// updateAnnotations returns the new text of the column, and whether to send it.
//
// Generation and hash of the spec cause no write by themselves: they ride along
// when the row is written anyway, which sending says, or when metadata changed.
//
// Annotations that are not a JSON object are left alone, unless somebody changes what
// would otherwise be lost: then they are replaced.
func (t *Translator) updateAnnotations(u annotationsUpdate, sending bool) (column string, send bool, err error) {
	held, _ := readReserved(u.text, u.key)
	next := held
	t.takeMetadata(&next, u.to)
	if u.also != nil {
		u.also(&next)
	}
	if !sending && len(u.changes) == 0 && equality.Semantic.DeepEqual(held, next) {
		return "", false, nil
	}
	if len(u.changes) == 0 && MalformedAnnotations(u.text) && equality.Semantic.DeepEqual(held.wishes(), next.wishes()) {
		return "", false, nil
	}
	next.Generation = nextGeneration(u.from, u.to, specHash(u.before, "") != specHash(u.after, ""))
	next.SpecHash = specHash(u.after, "")
	changes := u.changes
	if !equality.Semantic.DeepEqual(held, next) {
		encoded, err := encodeReserved(next)
		if err != nil {
			return "", false, err
		}
		changes = append(changes, change{names: []string{u.key}, value: quote(encoded)})
	}
	if len(changes) == 0 {
		return "", false, nil
	}
	return editObject(keepable(u.text), changes), true, nil
}

// wishes returns what of the record a user asked for. What this server or the
// reconciler can find out or ask for again does not count.
func (r Reserved) wishes() Reserved {
	r.ManagedFields = nil
	r.Generation, r.SpecHash, r.Cluster = 0, "", ""
	r.Conditions, r.ObservedGeneration, r.Namespace, r.ProjectedBy = nil, 0, "", ""
	others := make(map[types.UID]ClusterMetadata, len(r.Others))
	for uid, other := range r.Others {
		if other.ManagedFields = nil; !other.empty() {
			others[uid] = other
		}
	}
	r.Others = others
	return r
}
