package backend

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// fakeSettings is a service of settings in memory, without a watch.
type fakeSettings struct {
	ambientv1.ProjectSettingsServiceClient

	mu  sync.Mutex
	row *ambientv1.ProjectSettings
	// taken refuses every creation, as for a project whose settings were deleted.
	taken bool
	// away makes listings fail.
	away bool
}

func (f *fakeSettings) ListProjectSettings(context.Context, *ambientv1.ListProjectSettingsRequest, ...grpc.CallOption) (*ambientv1.ListProjectSettingsResponse, error) {
	time.Sleep(10 * time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, errCut
	}
	answer := &ambientv1.ListProjectSettingsResponse{Metadata: &ambientv1.ListMeta{}}
	if f.row != nil {
		answer.Metadata.Total, answer.Items = 1, []*ambientv1.ProjectSettings{f.row}
	}
	return answer, nil
}

// CreateProjectSettings makes the row, and its answer is lost.
func (f *fakeSettings) CreateProjectSettings(_ context.Context, in *ambientv1.CreateProjectSettingsRequest, _ ...grpc.CallOption) (*ambientv1.ProjectSettings, error) {
	time.Sleep(time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.row != nil || f.taken {
		return nil, status.Error(codes.AlreadyExists, "already exists")
	}
	f.row = &ambientv1.ProjectSettings{Metadata: &ambientv1.ObjectReference{Id: "settings-of-team", CreatedAt: timestamppb.Now(), UpdatedAt: timestamppb.Now()}, ProjectId: in.GetProjectId()}
	return nil, status.Error(codes.Unavailable, "the answer was lost")
}

func (*fakeSettings) WatchProjectSettings(context.Context, *ambientv1.WatchProjectSettingsRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[ambientv1.ProjectSettingsWatchEvent], error) {
	return nil, errNoWatch
}

func (w *world) createSettings() error {
	settings := &v1alpha1.ProjectSettings{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: v1alpha1.ProjectSettingsName}}
	return w.Settings.Create(w.t.Context(), SettingsPrefix+"/team/"+v1alpha1.ProjectSettingsName, settings)
}

// Whoever tries again before a listing has told hears that the settings exist.
func TestDecision5SettingsWhoseCreationWasNotAnsweredExist(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		if err := w.createSettings(); !apierrors.IsServiceUnavailable(err) {
			t.Errorf("a creation whose answer is lost: %v", err)
		}
		if err := w.createSettings(); !apierrors.IsAlreadyExists(err) || strings.Contains(err.Error(), "deleted") {
			t.Errorf("the second try: %v", err)
		}
	})
}

func TestDecision28SettingsThatWereDeletedUpstreamCannotBeMadeAgain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.settings.taken = true
		if err := w.createSettings(); !apierrors.IsAlreadyExists(err) || !strings.Contains(err.Error(), "deleted upstream") {
			t.Errorf("a creation: %v", err)
		}
	})
}

// That a listing has to tell why there are settings already holds no other write up.
func TestWhoeverAwaitsAListingHoldsNothing(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.settings.mu.Lock()
		w.settings.taken, w.settings.away = true, true
		w.settings.mu.Unlock()
		created := make(chan error, 1)
		go func() { created <- w.createSettings() }()
		w.pass(outcomePatience / 2)
		if inFlight, waiting := w.Writes(); inFlight != 0 || waiting != 0 {
			w.t.Errorf("%d writes are under way and %d wait", inFlight, waiting)
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		unlock, err := w.Projects.Lock(ctx, ProjectsPrefix+"/team")
		if err != nil {
			w.t.Errorf("the project: %v", err)
		} else {
			unlock()
		}
		expectUnavailable(w.t, "a creation of which nothing is known", <-created)
	})
}
