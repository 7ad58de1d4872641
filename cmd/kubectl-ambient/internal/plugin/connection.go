package plugin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/client/versioned"
	typedv1alpha1 "github.com/ambient-code/ambient-kube/apiserver/client/versioned/typed/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/cmd/internal/envflag"
)

const (
	// completionTimeout is how long a person who presses Tab is kept waiting.
	completionTimeout = 3 * time.Second
	// completionLimit bounds how many names are offered.
	completionLimit = 500
)

// connection is how to reach the cluster: the options of kubectl.
type connection struct {
	kubeconfig string
	overrides  clientcmd.ConfigOverrides
}

func (c *connection) bind(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&c.kubeconfig, "kubeconfig", "", "path of the kubeconfig file; without it, what KUBECONFIG names, or ~/.kube/config")
	options := clientcmd.RecommendedConfigOverrideFlags("")
	// API servers don't know user names and passwords any more.
	options.AuthOverrideFlags.Username, options.AuthOverrideFlags.Password = clientcmd.FlagInfo{}, clientcmd.FlagInfo{}
	clientcmd.BindOverrideFlags(&c.overrides, flags, options)
	for option, complete := range map[string]cobra.CompletionFunc{"namespace": c.completeNamespace, "context": c.completeContext} {
		if err := root.RegisterFlagCompletionFunc(option, complete); err != nil {
			// It can only say that there is no such option.
			panic(err)
		}
	}
}

func (c *connection) config() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &c.overrides)
}

// sessions returns a client for the sessions of the chosen namespace.
func (c *connection) sessions() (typedv1alpha1.SessionInterface, error) {
	namespace, _, err := c.config().Namespace()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config, err := c.config().ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	client, err := versioned.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return client.AmbientV1alpha1().Sessions(namespace), nil
}

// completeName offers the sessions whose phase the function accepts. Whoever
// presses Tab can't be told of errors.
func (c *connection) completeName(accepts func(v1alpha1.SessionPhase) bool) cobra.CompletionFunc {
	return func(command *cobra.Command, arguments []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(arguments) > 0 || envflag.Apply(command.Flags()) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		sessions, err := c.sessions()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		ctx, cancel := completing(command)
		defer cancel()
		list, err := sessions.List(ctx, metav1.ListOptions{Limit: completionLimit})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var found []cobra.Completion
		for _, session := range list.Items {
			if strings.HasPrefix(session.Name, typed) && accepts(session.Status.Phase) {
				found = append(found, cobra.CompletionWithDesc(session.Name, phaseText(session.Status.Phase)))
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

func (c *connection) completeNamespace(command *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	config, err := c.config().ClientConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ctx, cancel := completing(command)
	defer cancel()
	list, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{Limit: completionLimit})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var found []cobra.Completion
	for _, namespace := range list.Items {
		if strings.HasPrefix(namespace.Name, typed) {
			found = append(found, namespace.Name)
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

func (c *connection) completeContext(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	config, err := c.config().RawConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var found []cobra.Completion
	for name := range config.Contexts {
		if strings.HasPrefix(name, typed) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found, cobra.ShellCompDirectiveNoFileComp
}

// completing returns the context of a completion. The command that is completed
// never runs, and so has none of its own.
func completing(command *cobra.Command) (context.Context, context.CancelFunc) {
	ctx := command.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	return context.WithTimeout(ctx, completionTimeout)
}
