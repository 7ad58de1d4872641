package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func object(kind string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"kind": kind, "metadata": map[string]any{"name": "any"}}}
}

// The API is registered when somebody answers, and unregistered first.
func TestTheOrder(t *testing.T) {
	kinds := []string{
		"ValidatingWebhookConfiguration", "APIService", "Deployment", "ClusterRole", "Namespace", "Service", "CustomResourceDefinition",
		"ValidatingAdmissionPolicy", "FlowSchema", "ValidatingAdmissionPolicyBinding", "PriorityClass", "Certificate",
	}
	var all []*unstructured.Unstructured
	for _, kind := range kinds {
		all = append(all, object(kind))
	}
	var coming, going []string
	for _, batch := range inStages(all) {
		for _, object := range batch {
			coming = append(coming, object.GetKind())
		}
	}
	for _, step := range removals(all) {
		for _, object := range step.objects {
			going = append(going, object.GetKind())
		}
	}
	before := func(order []string, first, second string) {
		t.Helper()
		if one, other := slices.Index(order, first), slices.Index(order, second); one < 0 || other < 0 || one > other {
			t.Errorf("%s is not before %s in %s", first, second, strings.Join(order, ", "))
		}
	}
	if len(coming) != len(kinds) {
		t.Errorf("%d of %d kinds come", len(coming), len(kinds))
	}
	for _, pair := range [][2]string{
		{"Namespace", "Service"}, {"CustomResourceDefinition", "Deployment"}, {"PriorityClass", "Deployment"}, {"ClusterRole", "Deployment"},
		{"Service", "Deployment"}, {"Deployment", "APIService"}, {"APIService", "ValidatingWebhookConfiguration"}, {"Certificate", "Deployment"},
	} {
		before(coming, pair[0], pair[1])
	}
	if going[0] != "APIService" || going[1] != "ValidatingWebhookConfiguration" {
		t.Errorf("first go %v", going[:2])
	}
	for _, pair := range [][2]string{
		{"ValidatingWebhookConfiguration", "ValidatingAdmissionPolicy"}, {"ValidatingAdmissionPolicyBinding", "Deployment"},
		{"Deployment", "ClusterRole"}, {"Deployment", "Service"}, {"Service", "Namespace"},
	} {
		before(going, pair[0], pair[1])
	}
	if slices.Contains(going, "CustomResourceDefinition") {
		t.Error("definitions go, and with them everybody's objects")
	}
}

func TestWhichOverlay(t *testing.T) {
	own := t.TempDir()
	if err := os.WriteFile(filepath.Join(own, "kustomization.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for overlay, want := range map[string]string{
		"production": "overlays/production", "overlays/production": "overlays/production", own: own, "": "OVERLAY=local", "staging": "none of local",
	} {
		d := &deployment{repository: filepath.Join("..", ".."), overlay: overlay}
		got, err := d.folder()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("overlay %q: got %s, want %s", overlay, got, want)
		}
	}
}

func TestImagesAreFoundWhateverFollowsTheirName(t *testing.T) {
	deployment := func(images ...string) []*unstructured.Unstructured {
		var containers []any
		for _, image := range images {
			containers = append(containers, map[string]any{"image": image})
		}
		return []*unstructured.Unstructured{{Object: map[string]any{
			"kind": "Deployment", "metadata": map[string]any{"name": programs[0]},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": containers}}},
		}}}
	}
	for _, end := range []string{"", ":v1", "@sha256:0123", ":v1@sha256:0123"} {
		found, err := imagesOf(deployment("sidecar:v2", "registry:5000/team/"+programs[0]+end))
		if err != nil || len(found) != 1 || found["registry:5000/team/"+programs[0]] != programs[0] {
			t.Errorf("%q: found %v, %v", end, found, err)
		}
	}
	if _, err := imagesOf(deployment("registry/renamed:v1")); err == nil || !strings.Contains(err.Error(), programs[0]) {
		t.Errorf("an image that can't be told from others: %v", err)
	}
}
