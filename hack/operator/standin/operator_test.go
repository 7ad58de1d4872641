package standin

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestOperatorRunsASessionAndSendsThePromptOnce(t *testing.T) {
	s := newStand(t, fastOptions(), managedNamespace(), secretObject())
	s.create(AgenticSessions, sessionObject("s", map[string]any{
		"initialPrompt": "do it",
		"llmSettings":   map[string]any{"model": "m", "temperature": 0.5, "maxTokens": int64(7)},
	}))
	s.awaitPhase("s", PhaseRunning)
	want := Launches{Session: "s", Prompts: 1, Runners: 1, Model: "m", Temperature: "0.50", MaxTokens: 7}
	if got := s.launches("s"); got != want {
		t.Errorf("launches are %+v, want %+v", got, want)
	}

	object, _ := s.get("s")
	object.SetAnnotations(map[string]string{AnnotationDesiredPhase: "Stopped", AnnotationStopRequestedAt: "then", "other": "kept"})
	s.update(AgenticSessions, object)
	stopped := s.await("s", "stopped and request cleared", func(session Session) bool {
		return session.Status.Phase == PhaseStopped && len(session.Annotations) == 1
	})
	if stopped.Annotations["other"] != "kept" || stopped.Status.StoppedReason != "user" {
		t.Errorf("stopped session is %+v", stopped)
	}

	object, _ = s.get("s")
	object.SetAnnotations(map[string]string{AnnotationDesiredPhase: "Running", AnnotationStartRequestedAt: "then"})
	s.update(AgenticSessions, object)
	s.await("s", "running again and request cleared", func(session Session) bool {
		return session.Status.Phase == PhaseRunning && len(session.Annotations) == 0
	})
	if got := s.launches("s"); got.Prompts != 1 || got.Runners != 2 {
		t.Errorf("after a restart launches are %+v, want 1 prompt and 2 runners", got)
	}

	s.create(configMaps, scriptObject(OutcomeComplete))
	s.awaitPhase("s", PhaseCompleted)
	object, _ = s.get("s")
	object.SetAnnotations(map[string]string{AnnotationDesiredPhase: "Running", AnnotationForceExecutePrompt: "true"})
	s.update(AgenticSessions, object)
	eventually(t, "the forced prompt", func() bool { return s.launches("s").Prompts == 2 }, func() any { return s.launches("s") })
	s.await("s", "completed and force used up", func(session Session) bool {
		return session.Status.Phase == PhaseCompleted && len(session.Annotations) == 0
	})
}

func TestOperatorLosesThePromptWhenTheSecretComesLate(t *testing.T) {
	s := newStand(t, fastOptions(), managedNamespace())
	s.create(AgenticSessions, sessionObject("s", map[string]any{"initialPrompt": "do it"}))
	waiting := s.await("s", "the missing secret", func(session Session) bool { return len(session.Status.Conditions) > 0 })
	checkCondition(t, &waiting.Status, "SecretsReady=False/RunnerSecretMissing")
	if waiting.Status.Phase != PhasePending || waiting.Status.StartTime == nil {
		t.Errorf("status is %+v, want Pending with a start time", waiting.Status)
	}
	s.create(secrets, secretObject())
	s.awaitPhase("s", PhaseRunning)
	if got := s.launches("s"); got.Prompts != 0 || got.Runners != 1 {
		t.Errorf("launches are %+v, want 1 runner without prompt", got)
	}
}

func TestOperatorNeedsNoSecretWhenToldSo(t *testing.T) {
	options := fastOptions()
	options.RequireRunnerSecret = false
	s := newStand(t, options, managedNamespace())
	s.create(AgenticSessions, sessionObject("s", map[string]any{"initialPrompt": "do it"}))
	s.awaitPhase("s", PhaseRunning)
	if got := s.launches("s"); got.Prompts != 1 {
		t.Errorf("launches are %+v, want 1 prompt", got)
	}
}

func TestOperatorDropsEventsOfUnmanagedNamespaces(t *testing.T) {
	operator := newOperator(newFake(namespaceObject(nil), secretObject(), sessionObject("s", nil)), fastOptions())
	t.Cleanup(operator.queue.ShutDown)
	key := types.NamespacedName{Namespace: testNamespace, Name: "s"}
	after, err := operator.reconcile(t.Context(), key)
	if after != 0 || err != nil {
		t.Errorf("pass asks for %v and fails with %v, want neither", after, err)
	}
	for _, action := range operator.client.(*fake.FakeDynamicClient).Actions() {
		if action.GetVerb() != "get" {
			t.Errorf("pass did %s %s", action.GetVerb(), action.GetResource().Resource)
		}
	}

	// The label that comes later brings no pass: only an event of the session
	// does.
	s := newStand(t, fastOptions(), namespaceObject(nil), secretObject())
	s.create(AgenticSessions, sessionObject("s", map[string]any{"initialPrompt": "do it"}))
	s.awaitGate("s")
	s.update(namespaces, managedNamespace())
	s.awaitProjectSettings()
	s.create(AgenticSessions, sessionObject("later", nil))
	s.awaitPhase("later", PhaseRunning)
	if _, dropped := s.get("s"); dropped.Status.Phase != "" {
		t.Errorf("the dropped event came back: %+v", dropped.Status)
	}
	object, _ := s.get("s")
	object.SetLabels(map[string]string{"touched": "true"})
	s.update(AgenticSessions, object)
	s.awaitPhase("s", PhaseRunning)
}

func TestOperatorRepeatsAPassThatMetAConflict(t *testing.T) {
	client := newFake(managedNamespace())
	conflicts := map[string]int{}
	client.PrependReactor("update", AgenticSessions.Resource, func(action clienttesting.Action) (bool, runtime.Object, error) {
		kind := action.GetSubresource()
		// Each phase's status and each clearing of annotations meets one.
		if object, ok := action.(clienttesting.UpdateAction).GetObject().(*unstructured.Unstructured); ok {
			phase, _, err := unstructured.NestedString(object.Object, "status", "phase")
			if err != nil {
				return true, nil, err
			}
			kind += phase
		}
		conflicts[kind]++
		if conflicts[kind] == 1 {
			return true, nil, apierrors.NewConflict(AgenticSessions.GroupResource(), "s", nil)
		}
		return false, nil, nil
	})
	s := startStand(t, fastOptions(), client)
	s.create(secrets, secretObject())
	object := sessionObject("s", map[string]any{"initialPrompt": "do it"})
	s.create(AgenticSessions, object)
	s.awaitPhase("s", PhaseRunning)
	if got := s.launches("s"); got.Prompts != 1 || got.Runners != 1 {
		t.Errorf("launches are %+v, want 1 runner with prompt", got)
	}
	object, _ = s.get("s")
	object.SetAnnotations(map[string]string{AnnotationDesiredPhase: "Stopped"})
	eventually(t, "the stop request to be written", func() bool {
		_, err := s.client.Resource(AgenticSessions).Namespace(testNamespace).Update(t.Context(), object, metav1.UpdateOptions{})
		return err == nil
	}, func() any { return nil })
	s.await("s", "stopped and request cleared", func(session Session) bool {
		return session.Status.Phase == PhaseStopped && len(session.Annotations) == 0
	})
}

func TestClearAnnotationsSparesANewerRequest(t *testing.T) {
	for name, test := range map[string]struct {
		blind bool
		want  string
	}{
		"the stand-in's way": {false, "Stopped"},
		"the platform's way": {true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			object := sessionObject("s", nil)
			object.SetAnnotations(map[string]string{AnnotationDesiredPhase: "Running"})
			acted, err := readSession(object)
			if err != nil {
				t.Fatal(err)
			}
			object.SetAnnotations(map[string]string{AnnotationDesiredPhase: "Stopped"})
			options := fastOptions()
			options.ClearBlindly = test.blind
			operator := newOperator(newFake(object), options)
			t.Cleanup(operator.queue.ShutDown)
			updated, err := operator.clearAnnotations(t.Context(), acted, []string{AnnotationDesiredPhase})
			if err != nil {
				t.Fatal(err)
			}
			if got := updated.GetAnnotations()[AnnotationDesiredPhase]; got != test.want {
				t.Errorf("desired phase is %q, want %q", got, test.want)
			}
		})
	}
}

func TestOperatorFollowsTheScript(t *testing.T) {
	for outcome, phase := range map[Outcome]Phase{
		OutcomeComplete: PhaseCompleted, OutcomeFail: PhaseFailed, OutcomeCrash: PhaseFailed,
	} {
		t.Run(string(outcome), func(t *testing.T) {
			s := newStand(t, fastOptions(), managedNamespace(), secretObject(), scriptObject(outcome))
			s.create(AgenticSessions, sessionObject("s", nil))
			s.awaitPhase("s", phase)
		})
	}
	t.Run("lose", func(t *testing.T) {
		s := newStand(t, fastOptions(), managedNamespace(), secretObject(), scriptObject(OutcomeLose))
		s.create(AgenticSessions, sessionObject("s", map[string]any{"initialPrompt": "do it"}))
		eventually(t, "a second runner", func() bool { return s.launches("s").Runners >= 2 }, func() any { return s.launches("s") })
		if got := s.launches("s").Prompts; got != 1 {
			t.Errorf("prompt was sent %d times, want once", got)
		}
		s.update(configMaps, scriptObject(OutcomeRun))
		s.awaitPhase("s", PhaseRunning)
	})
}

func TestReadSessionReadsAnIntegralTemperatureAsZero(t *testing.T) {
	for name, test := range map[string]struct {
		json string
		want float64
	}{
		"a fraction":           {`{"spec":{"llmSettings":{"temperature":0.5}}}`, 0.5},
		"an integer":           {`{"spec":{"llmSettings":{"temperature":1}}}`, 0},
		"zero":                 {`{"spec":{"llmSettings":{"temperature":0}}}`, 0},
		"no settings of a LLM": {`{"spec":{}}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			object := &unstructured.Unstructured{}
			content := `{"apiVersion":"vteam.ambient-code/v1alpha1","kind":"AgenticSession",` + test.json[1:]
			if err := object.UnmarshalJSON([]byte(content)); err != nil {
				t.Fatal(err)
			}
			session, err := readSession(object)
			if err != nil {
				t.Fatal(err)
			}
			if got := session.Spec.LLMSettings.Temperature; got != test.want {
				t.Errorf("temperature is %v, want %v", got, test.want)
			}
		})
	}
}
