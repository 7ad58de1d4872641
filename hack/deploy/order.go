package main

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// stage is one step of an installation; what belongs to it is applied at once.
type stage int

// The stages, in the order of an installation.
const (
	// ground is what the rest lies in or refers to.
	ground stage = iota
	// needs is what programs need before they run.
	needs
	running
	// api is asked by the whole cluster, and so comes when somebody answers.
	api
	// guards are asked before changes of others' objects.
	guards
	stages
)

func (s stage) String() string {
	return [...]string{"namespace and definitions", "accounts, rights and settings", "programs", "the API's registration", "policies and webhooks"}[s]
}

// stageOf says when an object is applied.
func stageOf(object *unstructured.Unstructured) stage {
	switch object.GetKind() {
	case "Namespace", "CustomResourceDefinition", "PriorityClass":
		return ground
	case "Deployment", "StatefulSet":
		return running
	case "APIService":
		return api
	case "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding":
		return guards
	}
	return needs
}

// inStages groups the objects.
func inStages(objects []*unstructured.Unstructured) [stages][]*unstructured.Unstructured {
	var result [stages][]*unstructured.Unstructured
	for _, object := range objects {
		at := stageOf(object)
		result[at] = append(result[at], object)
	}
	return result
}

// removals are the steps of leaving, in their order: first what the cluster asks us
// for, then what guards projects' namespaces, then the programs while they still
// have the right to give up their Leases, then the rest. Definitions stay: with them
// would go everybody's objects.
func removals(objects []*unstructured.Unstructured) []step {
	byStage := inStages(objects)
	kinds := func(from []*unstructured.Unstructured, want func(kind string) bool) []*unstructured.Unstructured {
		var result []*unstructured.Unstructured
		for _, object := range from {
			if want(object.GetKind()) {
				result = append(result, object)
			}
		}
		return result
	}
	webhook := func(kind string) bool {
		return kind == "ValidatingWebhookConfiguration" || kind == "MutatingWebhookConfiguration"
	}
	not := func(refuse func(string) bool) func(string) bool {
		return func(kind string) bool { return !refuse(kind) }
	}
	definition := func(kind string) bool { return kind == "CustomResourceDefinition" }
	return []step{
		{api.String(), byStage[api]},
		{"webhooks", kinds(byStage[guards], webhook)},
		{"policies", kinds(byStage[guards], not(webhook))},
		{running.String(), byStage[running]},
		{needs.String(), byStage[needs]},
		{"namespace", kinds(byStage[ground], not(definition))},
	}
}

// step is some objects that are removed together.
type step struct {
	name    string
	objects []*unstructured.Unstructured
}
