package stack

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/ambient-code/ambient-kube/hack/health"
	"github.com/ambient-code/ambient-kube/hack/process"
)

// probeTimeout bounds one question whether a process is ready.
const probeTimeout = 5 * time.Second

// upstreamTimeout is a short deadline for calls on one machine.
const upstreamTimeout = "5s"

func (s *Stack) spec(name string, ready func(context.Context) error, arguments ...string) process.Spec {
	return process.Spec{
		Name: name, Path: filepath.Join(s.options.Binaries, name),
		Args: append(arguments, s.options.Arguments[name]...),
		Env:  process.Environment(s.options.Environment[name]...), Directory: s.options.Directory,
		LogFile: s.files.log(name), Ready: ready,
	}
}

func (s *Stack) startUpstream(ctx context.Context) (*process.Process, error) {
	return s.group.Start(ctx, s.spec(UpstreamName, s.upstreamReady,
		"--data="+s.files.data(),
		"--listen="+s.UpstreamAddress(),
		"--auth=static",
		"--token-file="+s.files.token,
		"--control-listen="+s.UpstreamControlAddress(),
	))
}

func (s *Stack) upstreamReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return health.Check(ctx, s.UpstreamAddress())
}

// extensionArguments are what an API server of ours is told on this machine.
func (s *Stack) extensionArguments() []string {
	kubeconfig := s.files.kubeconfig(APIServerName)
	arguments := []string{
		"--upstream-address=" + s.UpstreamAddress(),
		"--upstream-token-file=" + s.UpstreamTokenFile(),
		// After a kill, creations wait for what may still be under way.
		"--upstream-timeout=" + upstreamTimeout,
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--lease-namespace=" + Namespace,
	}
	arguments = append(arguments, s.certificateArguments("tls-cert-file", "tls-private-key-file", APIServerName)...)
	if authority := s.UpstreamCAFile(); authority != "" {
		return append(arguments, "--upstream-ca-file="+authority)
	}
	return append(arguments, "--upstream-tls=false")
}

// extensionTransport reaches API servers of ours directly.
func (s *Stack) extensionTransport(ctx context.Context) (*http.Transport, error) {
	roots, err := s.ServingRoots(ctx)
	if err != nil {
		return nil, err
	}
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: ServerName, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}, nil
}

func (s *Stack) startExtension(ctx context.Context) (*process.Process, error) {
	client, err := kubernetes.NewForConfig(s.Config())
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	ready := func(ctx context.Context) error {
		transport, err := s.extensionTransport(ctx)
		if err != nil {
			return err
		}
		if err := probe(ctx, transport, "https://"+s.ExtensionAddress()+"/readyz"); err != nil {
			return err
		}
		return available(ctx, client)
	}
	return s.group.Start(ctx, s.spec(APIServerName, ready, append(s.extensionArguments(),
		"--bind-address=127.0.0.1",
		"--secure-port="+strconv.Itoa(s.extensionPort),
	)...))
}

// certificateArguments say which certificate a program serves.
func (s *Stack) certificateArguments(certificateOption, keyOption, program string) []string {
	if s.options.CertificateFiles {
		return []string{"--" + certificateOption + "=" + s.files.certificate(program), "--" + keyOption + "=" + s.files.key(program)}
	}
	// The webhooks are reached by this machine's address.
	return []string{"--certificate-secret=" + AuthoritySecret, "--certificate-names=127.0.0.1"}
}

// available asks kube-apiserver whether it reaches our API.
func available(ctx context.Context, client kubernetes.Interface) error {
	data, err := client.Discovery().RESTClient().Get().AbsPath("/apis/apiregistration.k8s.io/v1/apiservices", apiServiceName).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("reading the APIService: %w", err)
	}
	var service apiregistrationv1.APIService
	if err := json.Unmarshal(data, &service); err != nil {
		return fmt.Errorf("reading the APIService: %w", err)
	}
	for _, condition := range service.Status.Conditions {
		if condition.Type == apiregistrationv1.Available && condition.Status != apiregistrationv1.ConditionTrue {
			return fmt.Errorf("kube-apiserver does not reach our API: %s: %s", condition.Reason, condition.Message)
		}
	}
	// The condition may be older than the process.
	if _, err := client.Discovery().RESTClient().Get().AbsPath("/apis/ambient.io/v1alpha1").DoRaw(ctx); err != nil {
		return fmt.Errorf("asking for our API's resources: %w", err)
	}
	// A replica is ready before it leads.
	if _, err := client.Discovery().RESTClient().Get().AbsPath("/apis/ambient.io/v1alpha1/projects").
		Param("limit", "1").Param("resourceVersion", "0").MaxRetries(0).DoRaw(ctx); err != nil {
		return fmt.Errorf("asking for a project: %w", err)
	}
	return nil
}

func (s *Stack) startOperator(ctx context.Context) (*process.Process, error) {
	spec, err := OperatorSpec(s.options.Directory, s.options.Binaries)
	if err != nil {
		return nil, err
	}
	return s.group.Start(ctx, spec)
}

// announced is for a process that has neither port nor probe: each of its lives
// says in the log once that it is ready.
func announced(log, text string) (func(context.Context) error, error) {
	count := func() (int, error) {
		found := 0
		err := process.Lines(log, func(line string) bool {
			if strings.Contains(line, text) {
				found++
			}
			return true
		})
		return found, err
	}
	before, err := count()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return func(context.Context) error {
		now, err := count()
		if err != nil {
			return err
		}
		if now == before {
			return fmt.Errorf("the log does not say %q yet", text)
		}
		before = now
		return nil
	}, nil
}

func (s *Stack) startReconciler(ctx context.Context) (*process.Process, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	ready := func(ctx context.Context) error {
		return probe(ctx, transport, "http://"+s.ReconcilerHealthAddress()+"/readyz")
	}
	return s.group.Start(ctx, s.spec(ReconcilerName, ready, append(
		s.certificateArguments("webhook-tls-cert-file", "webhook-tls-private-key-file", ReconcilerName),
		"--kubeconfig="+s.files.kubeconfig(ReconcilerName),
		"--lease-namespace="+Namespace,
		"--health-bind-address="+s.ReconcilerHealthAddress(),
		"--webhook-bind-address="+s.WebhookAddress(),
	)...))
}

// probe expects a 200.
func probe(ctx context.Context, transport *http.Transport, url string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", url, response.Status, strings.TrimSpace(string(body)))
	}
	return nil
}
