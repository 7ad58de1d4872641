// Command watch prints every change of every Session, with an ordinary informer.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/client/informers/externalversions"
	"github.com/ambient-code/ambient-kube/apiserver/client/versioned"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "watch:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	clients, err := versioned.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	factory := externalversions.NewSharedInformerFactory(clients, 0)
	informer := factory.Ambient().V1alpha1().Sessions().Informer()
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object interface{}) { show("ADDED", object) },
		UpdateFunc: func(_, object interface{}) { show("MODIFIED", object) },
		DeleteFunc: func(object interface{}) { show("DELETED", object) },
	}); err != nil {
		return fmt.Errorf("adding a handler: %w", err)
	}
	factory.StartWithContext(ctx)
	<-ctx.Done()
	factory.Shutdown()
	return nil
}

func show(event string, object interface{}) {
	if gone, isTombstone := object.(cache.DeletedFinalStateUnknown); isTombstone {
		object = gone.Obj
	}
	if session, isSession := object.(*v1alpha1.Session); isSession {
		fmt.Printf("%-8s %s/%s %q\n", event, session.Namespace, session.Name, session.Status.Phase)
	}
}
