package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/hack/image"
	"github.com/ambient-code/ambient-kube/hack/kubelet/network"
	"github.com/ambient-code/ambient-kube/hack/process"
)

// Options say what a node is.
type Options struct {
	// Name is that of the Node object, which is made.
	Name string
	// Directory keeps what pods see as their files, below pods, and what they print,
	// below logs.
	Directory string
	// Keep are files by the name of the image whose pods have them in their emptyDir,
	// so that what is in them outlives the pods.
	Keep map[string]string
	// Images are those that can be run, by name without registry and tag.
	Images map[string]*image.Image
	// Client acts as whoever may do all that kubelets and schedulers do.
	Client kubernetes.Interface
	// APIServer is where pods reach kube-apiserver.
	APIServerHost, APIServerPort string
}

// Node runs pods.
type Node struct {
	Options
	network  *network.Network
	pods     corelisters.PodLister
	informer cache.SharedIndexInformer
	queue    workqueue.TypedRateLimitingInterface[types.NamespacedName]
	group    *process.Group

	// workers is touched by the one goroutine that takes from the queue.
	workers map[types.NamespacedName]*worker
	running sync.WaitGroup
}

// New makes a node in a network. The caller starts the informers.
func New(options Options, network *network.Network, factory informers.SharedInformerFactory) *Node {
	pods := factory.Core().V1().Pods()
	return &Node{
		Options: options, network: network, pods: pods.Lister(), informer: pods.Informer(),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[types.NamespacedName]()),
		group: process.NewGroup(process.GroupOptions{}), workers: map[types.NamespacedName]*worker{},
	}
}

// Run runs pods until the context ends, and ends their processes then.
func (n *Node) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, n.group.Close()) }()
	defer n.running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := n.register(ctx); err != nil {
		return err
	}
	enqueue := func(object any) {
		key, err := cache.DeletionHandlingObjectToName(object)
		if err != nil {
			klog.FromContext(ctx).Error(err, "Reading the name of a pod")
			return
		}
		n.queue.Add(key.AsNamespacedName())
	}
	registration, err := n.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, object any) { enqueue(object) }, DeleteFunc: enqueue,
	})
	if err != nil {
		return fmt.Errorf("following pods: %w", err)
	}
	if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return nil
	}
	defer context.AfterFunc(ctx, n.queue.ShutDown)()
	for {
		key, closed := n.queue.Get()
		if closed {
			return nil
		}
		if err := n.sync(ctx, key); err != nil {
			klog.FromContext(ctx).Info("Trying again", "pod", key, "err", err)
			n.queue.AddRateLimited(key)
		} else {
			n.queue.Forget(key)
		}
		n.queue.Done(key)
	}
}

// register makes the Node object, without which nobody could say where a pod is.
func (n *Node) register(ctx context.Context) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: map[string]string{corev1.LabelHostname: n.Name, corev1.LabelOSStable: "linux"}}}
	node, err := n.Client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		node, err = n.Client.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
	}
	if err != nil {
		return fmt.Errorf("making the node %s: %w", n.Name, err)
	}
	now := metav1.Now()
	node.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "StandIn", Message: "pods are processes of this machine",
		LastHeartbeatTime: now, LastTransitionTime: now,
	}}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: n.Name}}
	if _, err := n.Client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("telling that the node %s is ready: %w", n.Name, err)
	}
	return nil
}

// sync brings what runs in step with one pod.
func (n *Node) sync(ctx context.Context, key types.NamespacedName) error {
	current := n.workers[key]
	pod, err := n.pods.Pods(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		if current != nil {
			current.stop()
			delete(n.workers, key)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading a pod: %w", err)
	}
	switch {
	case current != nil && current.pod.UID != pod.UID:
		current.stop()
		delete(n.workers, key)
		return n.sync(ctx, key)
	case current != nil && pod.DeletionTimestamp != nil:
		current.stop()
		return nil
	case current != nil:
		return nil
	case pod.Spec.NodeName == "":
		return n.bind(ctx, pod)
	case pod.Spec.NodeName != n.Name:
		return nil
	case pod.DeletionTimestamp != nil:
		// Of an earlier life of ours, when nothing runs any more.
		return n.remove(ctx, pod)
	}
	current = newWorker(n, pod)
	n.workers[key] = current
	n.running.Go(func() { current.run(ctx) })
	return nil
}

// bind chooses this node for a pod, as there is no other.
func (n *Node) bind(ctx context.Context, pod *corev1.Pod) error {
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: n.Name},
	}
	if err := n.Client.CoreV1().Pods(pod.Namespace).Bind(ctx, binding, metav1.CreateOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("choosing the node: %w", err)
	}
	return nil
}

// remove lets go of a pod whose processes have ended.
func (n *Node) remove(ctx context.Context, pod *corev1.Pod) error {
	none := int64(0)
	options := metav1.DeleteOptions{GracePeriodSeconds: &none, Preconditions: &metav1.Preconditions{UID: &pod.UID}}
	if err := n.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, options); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("removing a pod that has ended: %w", err)
	}
	return nil
}

func (n *Node) root(pod *corev1.Pod) string {
	return filepath.Join(n.Directory, "pods", pod.Namespace+"_"+pod.Name+"_"+string(pod.UID))
}

// LogFile is what the container of a pod prints into.
func LogFile(directory, namespace, pod string) string {
	return filepath.Join(directory, "logs", namespace+"_"+pod+".log")
}
