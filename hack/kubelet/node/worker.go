package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/hack/image"
	"github.com/ambient-code/ambient-kube/hack/process"
)

const (
	// beat is the pause between two looks at what is due.
	beat = 500 * time.Millisecond
	// refresh is the pause between two looks whether volumes have changed.
	refresh = 3 * time.Second
	// A container that ends is started again after a pause that doubles, until one
	// lives for long.
	shortestPause, longestPause = time.Second, 10 * time.Second
	healthyLife                 = time.Minute
)

// worker runs one pod. All but stop belongs to the goroutine of run.
type worker struct {
	node      *Node
	pod       *corev1.Pod
	container corev1.Container
	// address is the pod's, local the one that stands for it.
	address, local netip.Addr
	jail           process.Jail
	image          *image.Image
	tokens         map[string]token

	stopping chan struct{}
	once     sync.Once

	state    state
	reported []byte
	checks   []*check
}

func newWorker(node *Node, pod *corev1.Pod) *worker {
	w := &worker{node: node, pod: pod, tokens: map[string]token{}, stopping: make(chan struct{})}
	w.state = state{started: metav1.Now(), waiting: "ContainerCreating"}
	w.address = node.network.Attach()
	w.local = node.network.Local(w.address)
	return w
}

// stop begins the end of the pod.
func (w *worker) stop() { w.once.Do(func() { close(w.stopping) }) }

// run runs the pod until it is stopped, or the node is.
func (w *worker) run(whole context.Context) {
	ctx, cancel := context.WithCancel(whole)
	defer cancel()
	var watcher sync.WaitGroup
	defer watcher.Wait()
	watcher.Go(func() {
		select {
		case <-w.stopping:
			cancel()
		case <-ctx.Done():
		}
	})
	logger := klog.FromContext(whole).WithValues("pod", klog.KObj(w.pod))
	w.prepare(ctx)
	pause := shortestPause
	for ctx.Err() == nil {
		begun := time.Now()
		if err := w.live(ctx); err != nil && ctx.Err() == nil {
			logger.Info("The container has ended", "err", err)
		}
		if time.Since(begun) > healthyLife {
			pause = shortestPause
		}
		w.state.restarts++
		w.state.waiting = "CrashLoopBackOff"
		w.idle(ctx, pause)
		pause = min(2*pause, longestPause)
	}
	if err := w.leave(whole); err != nil {
		logger.Info("The pod was not removed", "err", err)
	}
}

// prepare lays out what the process will see, and tries until it can.
func (w *worker) prepare(ctx context.Context) {
	for {
		err := w.lay(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		w.state.waiting, w.state.message = "CreateContainerError", err.Error()
		w.idle(ctx, shortestPause)
	}
}

func (w *worker) lay(ctx context.Context) error {
	if len(w.pod.Spec.Containers) != 1 || len(w.pod.Spec.InitContainers) > 0 {
		return errors.New("a pod has exactly one container here")
	}
	w.container = w.pod.Spec.Containers[0]
	name := imageName(w.container.Image)
	found, known := w.node.Images[name]
	if !known {
		return fmt.Errorf("there is no image %s", name)
	}
	w.image = found
	w.jail = process.Jail{Root: w.node.root(w.pod), User: uint32(found.User)}
	if security := w.pod.Spec.SecurityContext; security != nil {
		if security.RunAsUser != nil {
			w.jail.User = uint32(*security.RunAsUser)
		}
		if security.RunAsGroup != nil {
			w.jail.Group = uint32(*security.RunAsGroup)
		}
	}
	if w.jail.User == 0 {
		return errors.New("container has runAsNonRoot and image will run as root")
	}
	if err := clone(found.Root, w.jail.Root); err != nil {
		return err
	}
	return w.mount(ctx)
}

// idle reports and waits.
func (w *worker) idle(ctx context.Context, pause time.Duration) {
	w.report(ctx)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// live is one life of the container's process: from its start to its end, or that
// of the pod.
func (w *worker) live(ctx context.Context) error {
	variables, err := w.environment(ctx)
	if err != nil {
		w.state.message = err.Error()
		return err
	}
	arguments := append([]string{}, w.image.Entrypoint[1:]...)
	for _, argument := range w.container.Args {
		arguments = append(arguments, expand(argument, variables))
	}
	running, err := w.node.group.Start(ctx, process.Spec{
		Name: w.pod.Name, Path: w.image.Entrypoint[0], Args: arguments, Env: assignments(variables), Directory: "/",
		LogFile: LogFile(w.node.Directory, w.pod.Namespace, w.pod.Name), Jail: &w.jail,
	})
	if err != nil {
		w.state.message = err.Error()
		return fmt.Errorf("starting the container: %w", err)
	}
	w.state.waiting, w.state.message, w.state.running = "", "", metav1.Now()
	w.checks = newChecks(w.container)
	cause := w.attend(ctx, running)
	w.state.ready, w.state.up = false, false
	if ctx.Err() != nil {
		w.report(context.WithoutCancel(ctx))
	}
	patience := time.Duration(*w.pod.Spec.TerminationGracePeriodSeconds) * time.Second
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	code, err := running.Terminate(ending)
	w.state.exitCode, w.state.ended = int32(code), metav1.Now()
	if cause == nil && err == nil {
		return fmt.Errorf("exit code %d", code)
	}
	return errors.Join(cause, err)
}

// attend looks after a running process until it has ended or is to be ended.
func (w *worker) attend(ctx context.Context, running *process.Process) error {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	mounted := time.Now()
	for {
		if err := w.probe(ctx); err != nil {
			return err
		}
		if time.Since(mounted) > refresh {
			mounted = time.Now()
			if err := w.mount(ctx); err != nil && ctx.Err() == nil {
				klog.FromContext(ctx).Info("Volumes are not brought up to date", "pod", klog.KObj(w.pod), "err", err)
			}
		}
		w.report(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-running.Exited():
			return nil
		case <-ticker.C:
		}
	}
}

// leave removes what a pod that was deleted leaves behind. A node that ends leaves
// its pods to its next life.
func (w *worker) leave(whole context.Context) error {
	if err := w.keep(); err != nil {
		return err
	}
	if err := os.RemoveAll(w.node.root(w.pod)); err != nil {
		return fmt.Errorf("removing the files of a pod: %w", err)
	}
	select {
	case <-whole.Done():
		return nil
	default:
		return w.node.remove(whole, w.pod)
	}
}

// clone makes the files of an image anew, as links: nobody writes them.
func clone(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("removing the files of an earlier attempt: %w", err)
	}
	err := filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return fmt.Errorf("finding %s: %w", path, err)
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, relative), 0o755)
		}
		return os.Link(path, filepath.Join(to, relative))
	})
	if err != nil {
		return fmt.Errorf("laying out an image: %w", err)
	}
	return nil
}
