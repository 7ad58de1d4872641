package standin

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/retry"
)

// LaunchesName names the ConfigMap of a namespace in which the stand-in records
// the runners that it would have started: the key is the UID of the
// AgenticSession, the value a Launches in JSON. Entries stay when the session
// goes, so that a session that was made twice shows as two.
const LaunchesName = "ambient-operator-prompts"

// Launches is the record of one AgenticSession's runners.
type Launches struct {
	// Session is the name of the AgenticSession.
	Session string `json:"session"`
	// Prompts counts how often the initial prompt was sent.
	Prompts int `json:"prompts"`
	// Runners counts how often a runner was started, resumes included.
	Runners int `json:"runners"`
	// Model, Temperature and MaxTokens are what the latest runner was given;
	// the temperature is the text in its environment.
	Model       string `json:"model"`
	Temperature string `json:"temperature"`
	MaxTokens   int64  `json:"maxTokens"`
}

// ReadLaunches returns the record of a namespace, by UID of the AgenticSession.
// It is empty if no runner was ever started there.
func ReadLaunches(ctx context.Context, client dynamic.Interface, namespace string) (map[types.UID]Launches, error) {
	record, err := client.Resource(configMaps).Namespace(namespace).Get(ctx, LaunchesName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return map[types.UID]Launches{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading ConfigMap %s/%s: %w", namespace, LaunchesName, err)
	}
	data, _, err := unstructured.NestedStringMap(record.Object, "data")
	if err != nil {
		return nil, fmt.Errorf("reading ConfigMap %s/%s: %w", namespace, LaunchesName, err)
	}
	launches := make(map[types.UID]Launches, len(data))
	for uid, text := range data {
		var entry Launches
		if err := json.Unmarshal([]byte(text), &entry); err != nil {
			return nil, fmt.Errorf("reading entry %s of ConfigMap %s/%s: %w", uid, namespace, LaunchesName, err)
		}
		launches[types.UID(uid)] = entry
	}
	return launches, nil
}

// recorder writes Launches.
type recorder struct {
	client dynamic.Interface
	// mutex spares the workers the conflicts that they would cause each other.
	mutex sync.Mutex
}

// record notes that a runner is started for session.
func (r *recorder) record(ctx context.Context, session Session, launch Launch) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		return r.recordOnce(ctx, session, launch)
	})
	if err != nil {
		return fmt.Errorf("recording the launch of %s/%s: %w", session.Namespace, session.Name, err)
	}
	return nil
}

func (r *recorder) recordOnce(ctx context.Context, session Session, launch Launch) error {
	maps := r.client.Resource(configMaps).Namespace(session.Namespace)
	record, err := maps.Get(ctx, LaunchesName, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	if missing {
		record = newObject("v1", "ConfigMap", session.Namespace, LaunchesName)
	} else if err != nil {
		return fmt.Errorf("reading the record: %w", err)
	}
	text, _, err := unstructured.NestedString(record.Object, "data", string(session.UID))
	if err != nil {
		return err
	}
	if text, err = addLaunch(text, session, launch); err != nil {
		return err
	}
	if err := unstructured.SetNestedField(record.Object, text, "data", string(session.UID)); err != nil {
		return err
	}
	if missing {
		_, err = maps.Create(ctx, record, metav1.CreateOptions{})
	} else {
		_, err = maps.Update(ctx, record, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("writing the record: %w", err)
	}
	return nil
}

// addLaunch returns the entry text with one launch more; the text is empty for
// the first.
func addLaunch(text string, session Session, launch Launch) (string, error) {
	var entry Launches
	if text != "" {
		if err := json.Unmarshal([]byte(text), &entry); err != nil {
			return "", fmt.Errorf("decoding the record: %w", err)
		}
	}
	settings := session.Spec.LLMSettings
	entry.Session = session.Name
	entry.Runners++
	if launch.Prompt {
		entry.Prompts++
	}
	entry.Model = settings.Model
	entry.Temperature = fmt.Sprintf("%.2f", settings.Temperature)
	entry.MaxTokens = settings.MaxTokens
	written, err := json.Marshal(entry)
	return string(written), err
}
