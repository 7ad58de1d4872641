package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

func (w *world) GetResource(_ context.Context, _, name string) (resource *unstructured.Unstructured, err error) {
	err = w.request("", func() error {
		if w.resources[name] == nil {
			return notFound(name)
		}
		resource = w.resources[name].DeepCopy()
		return nil
	})
	if err == nil {
		w.told[resource.GetUID()] = true
	}
	return resource, err
}

func (w *world) ListResources(_ context.Context, key Key) (list []unstructured.Unstructured, err error) {
	err = w.request("", func() error {
		for _, resource := range w.resources {
			if KeyOfResource(resource) == key {
				list = append(list, *resource.DeepCopy())
			}
		}
		return nil
	})
	if err == nil {
		for _, resource := range list {
			w.told[resource.GetUID()] = true
		}
	}
	return list, err
}

func (w *world) ApplyResource(_ context.Context, object *unstructured.Unstructured, force bool) (applied *unstructured.Unstructured, err error) {
	err = w.request("resource", func() error {
		name := object.GetName()
		live := w.resources[name]
		if w.refusal != nil {
			return w.refusal
		}
		if uid := object.GetUID(); uid != "" && (live == nil || live.GetUID() != uid) {
			return apierrors.NewConflict(agenticsession.Resource.GroupResource(), name, errors.New("uid mismatch"))
		}
		next := &unstructured.Unstructured{Object: map[string]any{}}
		if live == nil {
			next.SetUID(types.UID(fmt.Sprintf("resource-%s-%d", name, w.version)))
			next.SetCreationTimestamp(metav1.NewTime(w.now))
			next.SetGeneration(1)
			w.made++
		} else {
			next = live.DeepCopy()
			if !force && live.GetLabels()[v1alpha1.SessionIDLabel] != object.GetLabels()[v1alpha1.SessionIDLabel] {
				return apierrors.NewConflict(agenticsession.Resource.GroupResource(), name, errors.New("owned by others"))
			}
			for _, entry := range live.GetManagedFields() {
				var owned map[string]any
				if err := json.Unmarshal(entry.FieldsV1.Raw, &owned); err != nil {
					return err
				}
				removeUnwanted(next.Object, object.Object, owned)
			}
		}
		merge(next.Object, object.DeepCopy().Object)
		metadata, isObject := object.Object["metadata"].(map[string]any)
		if !isObject {
			return errors.New("the object has no metadata")
		}
		raw, err := json.Marshal(map[string]any{
			"f:metadata": map[string]any{"f:labels": fieldsOf(metadata["labels"]), "f:annotations": fieldsOf(metadata["annotations"])},
			"f:spec":     fieldsOf(object.Object["spec"]),
		})
		if err != nil {
			return err
		}
		next.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: agenticsession.FieldManager, Operation: metav1.ManagedFieldsOperationApply, FieldsV1: &metav1.FieldsV1{Raw: raw}}})
		if w.fill != nil {
			w.fill(next)
		}
		w.keep(live, next)
		applied = w.resources[name].DeepCopy()
		return nil
	})
	if err == nil {
		w.told[applied.GetUID()] = true
	}
	return applied, err
}

// keep stores the next state of an AgenticSession, if it is another one.
func (w *world) keep(live, next *unstructured.Unstructured) {
	if live != nil && equality.Semantic.DeepEqual(live.Object, next.Object) {
		return
	}
	if live != nil && !equality.Semantic.DeepEqual(live.Object["spec"], next.Object["spec"]) {
		next.SetGeneration(live.GetGeneration() + 1)
	}
	next.SetResourceVersion(w.next())
	w.resources[next.GetName()] = next
}

func (w *world) PatchResource(_ context.Context, _, name string, patch []byte) (patched *unstructured.Unstructured, err error) {
	err = w.request("annotations", func() error {
		live := w.resources[name]
		if live == nil {
			return notFound(name)
		}
		var wanted metav1.PartialObjectMetadata
		if err := json.Unmarshal(patch, &wanted); err != nil {
			return err
		}
		if wanted.ResourceVersion != live.GetResourceVersion() || wanted.UID != live.GetUID() {
			return apierrors.NewConflict(agenticsession.Resource.GroupResource(), name, errors.New("changed"))
		}
		text, err := live.MarshalJSON()
		if err != nil {
			return err
		}
		merged, err := jsonpatch.MergePatch(text, patch)
		if err != nil {
			return err
		}
		next := &unstructured.Unstructured{}
		if err := next.UnmarshalJSON(merged); err != nil {
			return err
		}
		w.keep(live, next)
		patched = w.resources[name].DeepCopy()
		return nil
	})
	return patched, err
}

func (w *world) DeleteResource(_ context.Context, _, name string, uid types.UID) error {
	return w.request("delete", func() error {
		live := w.resources[name]
		if live == nil {
			return notFound(name)
		}
		if live.GetUID() != uid {
			return apierrors.NewConflict(agenticsession.Resource.GroupResource(), name, errors.New("another object"))
		}
		w.deleteResource(name)
		return nil
	})
}

func (w *world) deleteResource(name string) {
	delete(w.resources, name)
	w.next()
}

func notFound(name string) error {
	return apierrors.NewNotFound(agenticsession.Resource.GroupResource(), name)
}

func fieldsOf(value any) map[string]any {
	set := map[string]any{}
	if object, isObject := value.(map[string]any); isObject {
		for name, below := range object {
			set["f:"+name] = fieldsOf(below)
		}
	}
	return set
}

// removeUnwanted removes from live what was owned and is no longer wanted.
func removeUnwanted(live, wanted map[string]any, owned map[string]any) {
	for _, field := range slices.Sorted(maps.Keys(owned)) {
		name := field[len("f:"):]
		value, isWanted := wanted[name]
		if !isWanted {
			delete(live, name)
			continue
		}
		below, isObject := live[name].(map[string]any)
		wantedBelow, wantsObject := value.(map[string]any)
		if isObject && wantsObject {
			removeUnwanted(below, wantedBelow, owned[field].(map[string]any))
		}
	}
}

func merge(live, wanted map[string]any) {
	for name, value := range wanted {
		below, isObject := live[name].(map[string]any)
		wantedBelow, wantsObject := value.(map[string]any)
		if isObject && wantsObject {
			merge(below, wantedBelow)
			continue
		}
		live[name] = value
	}
}
