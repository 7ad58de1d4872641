package reconciler

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/tally"
)

// tallyPath is where the tally of a dry run is served.
const tallyPath = "GET /debug/tally"

// dryRun counts the events that a projection would act on, and writes nothing. It
// needs no lease: it does no harm to run many at a time.
func dryRun(ctx context.Context, c *clients, registry prometheus.Registerer, probes *probes, serve func(map[string]http.Handler)) error {
	counts := tally.New(registry, time.Now, "Session", "Project", "ProjectSettings")
	serve(map[string]http.Handler{tallyPath: counts})
	watched := newInformers(c)
	natives := map[string]cache.SharedIndexInformer{
		"sessions": watched.sessions, "projects": watched.projects, "projectsettings": watched.settings,
	}
	handlers := map[string]cache.ResourceEventHandler{
		"sessions": counting(counts, "Session", func(object *v1alpha1.Session) string { return object.Status.SessionID }),
		"projects": counting(counts, "Project", func(object *v1alpha1.Project) string { return object.Name }),
		"projectsettings": counting(counts, "ProjectSettings", func(object *v1alpha1.ProjectSettings) string {
			return object.Status.SettingsID
		}),
	}
	watching, endWatching := context.WithCancel(ctx)
	defer endWatching()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	var synced []cache.InformerSynced
	for name, informer := range natives {
		if err := prepare(name, informer); err != nil {
			return err
		}
		registration, err := informer.AddEventHandler(handlers[name])
		if err != nil {
			return fmt.Errorf("watching %s: %w", name, err)
		}
		synced = append(synced, registration.HasSynced)
		tasks.Go(func() { informer.RunWithContext(watching) })
	}
	probes.waitFor("the first lists")
	if cache.WaitForCacheSync(ctx.Done(), synced...) {
		probes.waitFor("")
		klog.FromContext(ctx).Info("Counting, and writing nothing", "path", tallyPath)
	}
	<-ctx.Done()
	return nil
}

// counting returns a handler that counts the events of a kind.
func counting[T metav1.Object](counts *tally.Tally, kind string, id func(T) string) cache.ResourceEventHandler {
	return changes[T]{
		added:   func(object T) { counts.Count(kind, tally.Added, id(object)) },
		changed: func(_, after T) { counts.Count(kind, tally.Modified, id(after)) },
		deleted: func(object T, _ bool) { counts.Count(kind, tally.Deleted, id(object)) },
	}
}
