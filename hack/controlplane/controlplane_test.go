package controlplane

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/ambient-code/ambient-kube/hack/process"
)

func binaries(t *testing.T) string {
	t.Helper()
	if directory := os.Getenv("AMBIENT_KUBE_CONTROL_PLANE"); directory != "" {
		return directory
	}
	return filepath.Join("..", "..", ".build", "kube")
}

func start(t *testing.T, options Options) (*ControlPlane, *kubernetes.Clientset) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	options.Binaries = binaries(t)
	cp, err := Start(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, cp) })
	return cp, client(t, cp.Config())
}

func stop(t *testing.T, cp *ControlPlane) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if err := cp.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func client(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	result, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func eventually(t *testing.T, what string, condition func(ctx context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, condition); err != nil {
		t.Fatalf("waiting until %s: %v", what, err)
	}
}

// One cluster serves the whole test: a start costs seconds.
func TestControlPlane(t *testing.T) {
	directory := t.TempDir()
	cp, kube := start(t, Options{Directory: directory, ControllerManager: true})

	t.Run("a namespace comes to life and is deleted", func(t *testing.T) {
		ctx := t.Context()
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "short-lived"}}
		if _, err := kube.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it has a ServiceAccount", func(ctx context.Context) (bool, error) {
			_, err := kube.CoreV1().ServiceAccounts(namespace.Name).Get(ctx, "default", metav1.GetOptions{})
			return err == nil, client404(err)
		})
		if err := kube.CoreV1().Namespaces().Delete(ctx, namespace.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is gone", func(ctx context.Context) (bool, error) {
			_, err := kube.CoreV1().Namespaces().Get(ctx, namespace.Name, metav1.GetOptions{})
			return apierrors.IsNotFound(err), nil
		})
	})

	t.Run("rights are checked and aggregation is announced", func(t *testing.T) {
		config := cp.Config()
		config.Impersonate.UserName = "alice"
		if _, err := client(t, config).CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("alice lists secrets: got %v, want 403", err)
		}
		authentication, err := kube.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(t.Context(), "extension-apiserver-authentication", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := authentication.Data["requestheader-allowed-names"], `["front-proxy-client"]`; got != want {
			t.Errorf("allowed names of the front proxy: got %s, want %s", got, want)
		}
	})

	t.Run("each process survives a kill -9", func(t *testing.T) {
		for _, p := range cp.Processes() {
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := p.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the cluster is ready after "+p.Name(), func(ctx context.Context) (bool, error) {
				_, err := kube.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
				return err == nil, nil
			})
		}
	})

	marker := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "marker"}}
	if _, err := kube.CoreV1().ConfigMaps("default").Create(t.Context(), marker, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	host := cp.Config().Host
	stop(t, cp)
	if !t.Run("nothing runs after a stop", func(t *testing.T) { assertStopped(t, cp, directory) }) {
		return
	}

	t.Run("a second start finds the same cluster at the same address", func(t *testing.T) {
		again, kube := start(t, Options{Directory: directory})
		if got := again.Config().Host; got != host {
			t.Errorf("the address moved from %s to %s", host, got)
		}
		if _, err := kube.CoreV1().ConfigMaps("default").Get(t.Context(), "marker", metav1.GetOptions{}); err != nil {
			t.Errorf("what was there before the stop: %v", err)
		}
		if again.ControllerManager != nil {
			t.Error("a controller manager runs that nobody asked for")
		}
	})
}

func client404(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// assertStopped looks at the processes that we know and for any other that
// still works in the directory.
func assertStopped(t *testing.T, cp *ControlPlane, directory string) {
	t.Helper()
	for _, p := range cp.Processes() {
		select {
		case <-p.Exited():
		default:
			t.Errorf("%s still runs", p.Name())
		}
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range commands {
		command, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		if strings.Contains(string(command), directory) {
			t.Errorf("still running: %s", strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
}

func TestAFailedStartNamesTheProcessAndLeavesNothing(t *testing.T) {
	directory := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var steps []string
	_, err := Start(ctx, Options{
		Directory: directory, Binaries: binaries(t),
		APIServerArguments: []string{"--no-such-flag"},
		Progress:           func(step string) { steps = append(steps, step) },
	})
	var failure *process.FailedError
	if !errors.As(err, &failure) || failure.Name != APIServerName {
		t.Fatalf("got %v, want a failure of %s", err, APIServerName)
	}
	lines, err := process.Tail(failure.LogPath, 20)
	if err != nil || !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "no-such-flag") }) {
		t.Errorf("the log's tail does not say why: %q, error %v", lines, err)
	}
	if got, want := strings.Join(steps, ", "), "starting etcd, starting kube-apiserver"; got != want {
		t.Errorf("steps: got %q, want %q", got, want)
	}
	assertStopped(t, &ControlPlane{}, directory)
}
