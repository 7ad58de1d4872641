package translate

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func FuzzScan(f *testing.F) {
	for _, text := range jsonTexts {
		f.Add(text)
	}
	f.Fuzz(checkScan)
}

// FuzzSession puts the same text into every column of a session. The object must
// survive being written out, and sending it back must change nothing.
func FuzzSession(f *testing.F) {
	for _, text := range jsonTexts {
		f.Add(text)
	}
	for seed := range uint64(20) {
		row := newRandomRows(seed).session()
		for _, text := range []string{row.GetAnnotations(), row.GetRepos(), row.GetConditions(), row.GetWorkflowId(), row.GetReconciledWorkflow()} {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		row := session(func(s *ambientv1.Session) {
			s.Name, s.RepoUrl, s.Prompt, s.ProjectId, s.Phase, s.KubeCrName = text, &text, &text, &text, &text, &text
			s.Labels, s.Annotations, s.Repos, s.EnvironmentVariables, s.ResourceOverrides, s.WorkflowId = &text, &text, &text, &text, &text, &text
			s.Conditions, s.ReconciledRepos, s.ReconciledWorkflow = &text, &text, &text
			s.Metadata.Id = text
		})
		placement := place(row)
		if !isLabel(placement.Name) || !isLabel(placement.Namespace) {
			t.Fatalf("placed at %+v", placement)
		}
		current := translator.Session(row, placement)
		if !Equal(current, translator.Session(row, placement)) {
			t.Fatal("the same row gives another object")
		}
		spec, status, err := translator.SessionUpdate(row, current, current.DeepCopy())
		if spec != nil || status != nil || err != nil {
			t.Fatalf("nothing changed, but %v, %v, %v", spec, status, err)
		}
		desired := throughJSON(t, current)
		desired.Spec.Repositories = append(desired.Spec.Repositories, v1alpha1.Repository{URL: "new", AutoPush: proto.Bool(true)})
		desired.Spec.Environment = map[string]string{"NEW": text}
		desired.Status.StoppedReason = "user"
		if spec, status, err = translator.SessionUpdate(row, current, desired); err != nil {
			t.Fatal(err)
		}
		for _, column := range []*string{spec.Repos, spec.EnvironmentVariables, conditionsOf(status)} {
			if column != nil && !json.Valid([]byte(*column)) {
				t.Fatalf("written: %q", *column)
			}
		}
		got := translator.Session(apply(row, spec, status), placement)
		if got.Status.StoppedReason != "user" || got.Spec.Repositories[len(got.Spec.Repositories)-1].URL != "new" {
			t.Fatalf("read back: %+v", got)
		}
	})
}

func FuzzReserved(f *testing.F) {
	for _, text := range jsonTexts {
		f.Add(text)
	}
	f.Add(`{"ambient.io/kubernetes":"{\"name\":\"n\",\"others\":{\"x\":{}}}"}`)
	f.Add(`{"ambient.io\/kubernetes":"{\"managedFields\":[{\"fieldsV1\":null}]}"}`)
	f.Fuzz(func(t *testing.T, annotations string) {
		held, found := ReadReserved(annotations)
		if found {
			if _, err := encodeReserved(held); err != nil {
				t.Fatalf("it can be read, but not written: %v", err)
			}
		}
		want := Reserved{Name: "n", Generation: 3, Cluster: thisCluster, ClusterMetadata: metadata()}
		next, err := WithReserved(annotations, want)
		if err != nil {
			return
		}
		got, found := ReadReserved(next)
		if !found {
			t.Fatalf("lost in %q", next)
		}
		same(t, "read back", got, want)
		if carried := CarryReserved(next, annotations); !found && carried == annotations {
			t.Fatalf("not carried into %q", annotations)
		}
	})
}

func FuzzGroupAccess(f *testing.F) {
	for _, text := range jsonTexts {
		f.Add(text)
	}
	for seed := range uint64(20) {
		f.Add(newRandomRows(seed).settings().GetGroupAccess())
	}
	f.Fuzz(func(t *testing.T, text string) {
		row := settingsRow(text, text)
		current := translator.ProjectSettings(row, nil, 0)
		seen := map[v1alpha1.GroupAccess]bool{}
		for _, g := range current.Spec.GroupAccess {
			if seen[g] || g.GroupName == "" || g.Role == "" {
				t.Fatalf("shown: %+v", current.Spec.GroupAccess)
			}
			seen[g] = true
		}
		own, _, err := translator.ProjectSettingsUpdate(row, nil, current, current.DeepCopy())
		if own != nil || err != nil {
			t.Fatalf("nothing changed, but %v, %v", own, err)
		}
		added := v1alpha1.GroupAccess{GroupName: "new group", Role: "admin"}
		if seen[added] {
			return
		}
		desired := current.DeepCopy()
		desired.Spec.GroupAccess = append(desired.Spec.GroupAccess, added)
		if own, _, err = translator.ProjectSettingsUpdate(row, nil, current, desired); err != nil || !json.Valid([]byte(own.GetGroupAccess())) {
			t.Fatalf("%v, %v", own, err)
		}
		same(t, "read back", translator.ProjectSettings(apply(row, own), nil, 0).Spec.GroupAccess, desired.Spec.GroupAccess)
	})
}

// conditionsOf is the column as it is sent, if it is.
func conditionsOf(request *ambientv1.UpdateSessionStatusRequest) *string {
	if request == nil {
		return nil
	}
	return request.Conditions
}
