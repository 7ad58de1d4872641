package validation

import (
	"encoding/json"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

const (
	// MaxObjectBytes is the size limit of one object as JSON, that of etcd. It
	// also keeps an object well below the 4 MiB that the upstream takes.
	MaxObjectBytes = 3 << 19
	// MaxPromptBytes is the size limit of a session's prompt.
	MaxPromptBytes = 1 << 20
	// MaxDisplayNameBytes is the upstream's own limit, which it checks only when
	// a session is created.
	MaxDisplayNameBytes = 255
)

// reservedAnnotations hold, upstream, what the upstream has no column for.
var reservedAnnotations = []string{"ambient.io/kubernetes", "ambient.io/project-settings"}

var (
	specPath     = field.NewPath("spec")
	statusPath   = field.NewPath("status")
	metadataPath = field.NewPath("metadata")
)

// scpLike matches what git takes for an SSH address: user@host:path.
var scpLike = regexp.MustCompile(`^([A-Za-z0-9_.-]+@)?[A-Za-z0-9_.-]+:[^\s:]+$`)

// validateReserved refuses the annotations that the server keeps for itself. Old
// may be nil.
func validateReserved(annotations, old map[string]string) field.ErrorList {
	var errs field.ErrorList
	for _, key := range reservedAnnotations {
		value, present := annotations[key]
		if previous, was := old[key]; present && (!was || previous != value) {
			errs = append(errs, field.Forbidden(metadataPath.Child("annotations").Key(key), "is reserved for the server"))
		}
	}
	return errs
}

// validateSize limits the size of an object, or its growth when it is too large
// already. Old may be nil.
func validateSize(object, old runtime.Object, path *field.Path) field.ErrorList {
	size, err := jsonSize(object)
	if err != nil {
		return field.ErrorList{field.InternalError(path, err)}
	}
	if size <= MaxObjectBytes {
		return nil
	}
	if old != nil {
		if before, err := jsonSize(old); err == nil && size <= before {
			return nil
		}
	}
	return field.ErrorList{field.TooLong(path, "", MaxObjectBytes)}
}

// validateStatusSize limits the size of an object whose status is written. One that
// is too large by its specification, as only the upstream lets in, can still be told
// its status: nobody would learn else what becomes of it.
func validateStatusSize[S any](object, old runtime.Object, status *S) field.ErrorList {
	errs := validateSize(object, old, statusPath)
	if len(errs) == 0 {
		return nil
	}
	before, err := jsonSize(old)
	if err != nil || before <= MaxObjectBytes {
		return errs
	}
	if size, err := jsonSize(status); err != nil || size > MaxObjectBytes {
		return errs
	}
	return nil
}

func jsonSize[T any](value T) (int, error) {
	content, err := json.Marshal(value)
	return len(content), err
}

func validateDisplayName(name, old string) field.ErrorList {
	if name == old || len(name) <= MaxDisplayNameBytes {
		return nil
	}
	return field.ErrorList{field.TooLong(specPath.Child("displayName"), name, MaxDisplayNameBytes)}
}

// validateGitURL demands an address that git would take for a remote.
func validateGitURL(address string, path *field.Path) field.ErrorList {
	if address == "" {
		return field.ErrorList{field.Required(path, "give the clone URL")}
	}
	refuse := func(detail string) field.ErrorList {
		return field.ErrorList{field.Invalid(path, withoutPassword(address), detail)}
	}
	if strings.HasPrefix(address, "-") {
		return refuse("must not begin with a hyphen")
	}
	if strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return refuse("must not contain white space or control characters")
	}
	if !strings.Contains(address, "://") {
		if scpLike.MatchString(address) {
			return nil
		}
		return refuse("must be a URL such as https://host/owner/repository or git@host:owner/repository")
	}
	parsed, err := url.Parse(address)
	if err != nil {
		return refuse("cannot be parsed as a URL")
	}
	if parsed.Host == "" && parsed.Scheme != "file" {
		return refuse("must name a host")
	}
	return nil
}

// withoutPassword hides the user part of a URL, which may hold a token, from
// messages.
func withoutPassword(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		return address
	}
	authority, path, hasPath := strings.Cut(rest, "/")
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		authority = "***" + authority[at:]
	}
	if hasPath {
		authority += "/" + path
	}
	return scheme + "://" + authority
}

func validateNonNegative[T int32 | int64](value *T, old *T, path *field.Path) field.ErrorList {
	if value == nil || *value >= 0 || (old != nil && *old == *value) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, *value, "must be greater than or equal to 0")}
}

// validateTime refuses a time that no client could read again.
func validateTime(value *metav1.Time, path *field.Path) field.ErrorList {
	if value.IsZero() || v1alpha1.CanShow(value.Time) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, value.UTC().Format(time.RFC3339), "must be in the years 1 to 9999, in UTC")}
}

// validateImmutable demands that a value which only the server sets stays as it
// is.
func validateImmutable(value, old, why string, path *field.Path) field.ErrorList {
	if value == old {
		return nil
	}
	return field.ErrorList{field.Invalid(path, value, "is read-only: "+why)}
}

// validateConditions validates the conditions that are not as they were, and
// that no type stands twice.
func validateConditions(conditions, old []metav1.Condition, path *field.Path) field.ErrorList {
	if apiequality.Semantic.DeepEqual(conditions, old) {
		return nil
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, condition := range conditions {
		if seen[condition.Type] {
			errs = append(errs, field.Duplicate(path.Index(i).Child("type"), condition.Type))
		}
		seen[condition.Type] = true
		if contains(old, condition) {
			continue
		}
		errs = append(errs, metav1validation.ValidateCondition(condition, path.Index(i))...)
		errs = append(errs, validateTime(&condition.LastTransitionTime, path.Index(i).Child("lastTransitionTime"))...)
	}
	return errs
}

// contains tells whether an element is in a list, by meaning.
func contains[T any](list []T, element T) bool {
	return slices.ContainsFunc(list, func(other T) bool { return apiequality.Semantic.DeepEqual(other, element) })
}

func validateProjectName(name string) field.ErrorList {
	path := metadataPath.Child("name")
	var errs field.ErrorList
	for _, message := range validation.IsDNS1123Label(name) {
		errs = append(errs, field.Invalid(path, name, message))
	}
	if len(errs) > 0 {
		return errs
	}
	if len(name) < 2 {
		errs = append(errs, field.Invalid(path, name, "must be 2 to 63 characters"))
	}
	if name[0] < 'a' || name[0] > 'z' {
		errs = append(errs, field.Invalid(path, name, "must begin with a lower-case letter"))
	}
	return errs
}

// validateText refuses what the upstream's database cannot hold in any string of
// the object: NUL, and bytes that are not UTF-8. Strings that were in old are
// left alone; old may be nil. Values are never repeated in the message, since
// they may be secret.
func validateText(object, old runtime.Object) field.ErrorList {
	known := map[string]bool{}
	if old != nil {
		visitStrings(reflect.ValueOf(old), nil, func(_ *field.Path, text string) {
			if textProblem(text) != "" {
				known[text] = true
			}
		})
	}
	var errs field.ErrorList
	visitStrings(reflect.ValueOf(object), nil, func(path *field.Path, text string) {
		if problem := textProblem(text); problem != "" && !known[text] {
			errs = append(errs, field.Invalid(path, field.OmitValueType{}, problem))
		}
	})
	return errs
}

func textProblem(text string) string {
	if strings.ContainsRune(text, 0) {
		return "must not contain NUL characters"
	}
	if strings.ToValidUTF8(text, "") != text {
		return "must be valid UTF-8"
	}
	return ""
}

// isPhase tells whether the upstream knows the phase.
func isPhase(phase v1alpha1.SessionPhase) bool { return slices.Contains(phases, phase) }

var phases = []v1alpha1.SessionPhase{
	v1alpha1.SessionPending, v1alpha1.SessionCreating, v1alpha1.SessionRunning, v1alpha1.SessionStopping,
	v1alpha1.SessionStopped, v1alpha1.SessionCompleted, v1alpha1.SessionFailed,
}
