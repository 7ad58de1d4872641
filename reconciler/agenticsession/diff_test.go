package agenticsession

import (
	"maps"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/ambient-code/ambient-kube/manifests/crd"
)

// What an item of a list may hold beside what was asked for is what the definition fills
// in: with other defaults, each pass would take them for an edit.
func TestTheDefaultsOfRepositoriesAreThoseOfTheDefinition(t *testing.T) {
	text, err := crd.Files.ReadFile("agenticsessions.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type schema struct {
		Default    any               `json:"default"`
		Properties map[string]schema `json:"properties"`
		Items      *schema           `json:"items"`
	}
	var definition struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema schema `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &definition); err != nil {
		t.Fatal(err)
	}
	spec := definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	filled := map[string]any{}
	for name, property := range spec.Properties["repos"].Items.Properties {
		if property.Default != nil {
			filled[name] = property.Default
		}
	}
	if !maps.Equal(filled, itemDefaults["repos"]) {
		t.Errorf("the definition fills in %v, and known are %v", filled, itemDefaults["repos"])
	}
}
