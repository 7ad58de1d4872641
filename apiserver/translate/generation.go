package translate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// highestGeneration bounds the generations that are believed: greater numbers do
// not survive JSON everywhere, and nobody counts that far.
const highestGeneration = 1 << 53

// storedGeneration returns the generation that a row tells: the highest that was
// stored or observed, and one more when the spec is another than at our last write.
func storedGeneration(r *Reserved, observed int64, spec hashable) int64 {
	generation := max(1, believable(r.Generation), believable(observed))
	if r.SpecHash == "" {
		return generation
	}
	hidden, _, _ := strings.Cut(r.SpecHash, hashSeparator)
	if specHash(spec, hidden) != r.SpecHash {
		generation++
	}
	return generation
}

func believable(generation int64) int64 {
	if generation < 0 || generation > highestGeneration {
		return 0
	}
	return generation
}

// highestObserved returns the highest generation that a condition observed.
func highestObserved(observed int64, conditions []metav1.Condition) int64 {
	observed = believable(observed)
	for i := range conditions {
		observed = max(observed, believable(conditions[i].ObservedGeneration))
	}
	return observed
}

// nextGeneration is the generation to store with a write.
func nextGeneration(current, desired *metav1.ObjectMeta, specChanged bool) int64 {
	generation := max(1, current.Generation)
	if specChanged {
		generation++
	}
	return max(generation, desired.Generation)
}

const hashSeparator = "."

// hashable is a spec that can be hashed. Hidden names fields, by letters, that
// the upstream fills in by itself and that therefore do not count.
type hashable interface {
	encode(hidden string) ([]byte, error)
}

// specHash identifies the content of a spec: the hidden fields, then a hash of
// the others.
func specHash(spec hashable, hidden string) string {
	encoded, err := spec.encode(hidden)
	if err != nil {
		// Specs hold strings, numbers and lists of them. Only a number that JSON
		// lacks (NaN) fails; none is read, and one such spec is like another.
		encoded = fmt.Append(nil, err)
	}
	sum := sha256.Sum256(encoded)
	return hidden + hashSeparator + hex.EncodeToString(sum[:8])
}

// Letters of the fields that the upstream gives defaults to at creation.
const (
	hiddenModel       = "m"
	hiddenTemperature = "t"
	hiddenMaxTokens   = "k"
)

// defaulted names the fields of a new session that the upstream will fill in.
func defaulted(spec *v1alpha1.SessionSpec) string {
	llm := spec.LLM
	if llm == nil {
		llm = &v1alpha1.LLMSettings{}
	}
	var hidden string
	if llm.Model == "" {
		hidden += hiddenModel
	}
	if llm.Temperature == nil {
		hidden += hiddenTemperature
	}
	if llm.MaxTokens == nil {
		hidden += hiddenMaxTokens
	}
	return hidden
}

type sessionHash v1alpha1.SessionSpec

func (s *sessionHash) encode(hidden string) ([]byte, error) {
	spec := v1alpha1.SessionSpec(*s)
	// Read-only fields are no part of what was asked for.
	spec.CreatedBy, spec.AgentID = "", ""
	spec.LLM = visible(spec.LLM, hidden)
	if spec.Workflow != nil && *spec.Workflow == (v1alpha1.Workflow{}) {
		spec.Workflow = nil
	}
	if spec.ResourceOverrides != nil && *spec.ResourceOverrides == (v1alpha1.ResourceOverrides{}) {
		spec.ResourceOverrides = nil
	}
	return encodeForHash(&spec)
}

func visible(llm *v1alpha1.LLMSettings, hidden string) *v1alpha1.LLMSettings {
	if llm == nil {
		return nil
	}
	rest := *llm
	if strings.Contains(hidden, hiddenModel) {
		rest.Model = ""
	}
	if strings.Contains(hidden, hiddenTemperature) {
		rest.Temperature = nil
	}
	if strings.Contains(hidden, hiddenMaxTokens) {
		rest.MaxTokens = nil
	}
	if rest == (v1alpha1.LLMSettings{}) {
		return nil
	}
	return &rest
}

func encodeForHash[S any](spec *S) ([]byte, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encoding the specification for its hash: %w", err)
	}
	return text, nil
}

type projectHash v1alpha1.ProjectSpec

func (s *projectHash) encode(string) ([]byte, error) {
	return encodeForHash((*v1alpha1.ProjectSpec)(s))
}

type settingsHash v1alpha1.ProjectSettingsSpec

func (s *settingsHash) encode(string) ([]byte, error) {
	return encodeForHash((*v1alpha1.ProjectSettingsSpec)(s))
}
