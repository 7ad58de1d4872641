package stack

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ambient-code/ambient-kube/certs"
	"github.com/ambient-code/ambient-kube/hack/controlplane"
)

const (
	// A stand may run for long; its tokens and certificates are made anew at
	// each start.
	tokenLifetime       = 365 * 24 * time.Hour
	certificateLifetime = 365 * 24 * time.Hour

	apiServiceName = "v1alpha1.ambient.io"
	fieldManager   = "ambient-kube-stack"

	// OperatorAccount is the ServiceAccount of the stand-in operator; those of
	// our programs have the programs' names.
	OperatorAccount = "ambient-operator"

	// ServerName is the name that our API server's certificate bears.
	ServerName = APIServerName + "." + Namespace + ".svc"
)

// webhookConfigurations are the paths of the reconciler's webhooks, by the name
// of their configuration.
var webhookConfigurations = map[string]string{
	"ambient-agenticsessions":    "/agenticsessions",
	"ambient-project-namespaces": "/namespaces",
}

// registrationTemplate adds to our manifests what differs from stand to
// stand.
const registrationTemplate = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- %s
patches:
- target:
    kind: APIService
    name: %s
  patch: |-
    - op: add
      path: /spec/caBundle
      value: %s
    - op: replace
      path: /spec/service/port
      value: %d
`

// webhookTemplate points a webhook at this machine: without DNS there are no
// services.
const webhookTemplate = `- target:
    kind: ValidatingWebhookConfiguration
    name: %s
  patch: |-
    - op: replace
      path: /webhooks/0/clientConfig
      value:
        url: https://%s%s
        caBundle: %s
`

// register applies the manifests and makes what our programs need of the
// cluster: a serving certificate and a kubeconfig for each account.
func (s *Stack) register(ctx context.Context) error {
	authority := s.ExtensionAuthority()
	if err := s.issue(authority, APIServerName, certs.Leaf{CommonName: ServerName, DNSNames: []string{ServerName}}); err != nil {
		return err
	}
	loopback := certs.Leaf{CommonName: ReconcilerName, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	if err := s.issue(authority, ReconcilerName, loopback); err != nil {
		return err
	}
	if err := s.applyManifests(ctx, authority.CertificatePEM()); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(s.Config())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	for _, account := range []string{APIServerName, ReconcilerName, OperatorAccount} {
		if err := s.writeAccountKubeconfig(ctx, client, account); err != nil {
			return err
		}
	}
	return nil
}

// issue makes the serving certificate of one of our programs.
func (s *Stack) issue(authority *certs.Authority, program string, leaf certs.Leaf) error {
	leaf.Usage, leaf.Lifetime = certs.Server, certificateLifetime
	pair, err := authority.Issue(leaf)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.files.key(program), pair.KeyPEM, 0o600); err != nil {
		return fmt.Errorf("keeping the serving key of %s: %w", program, err)
	}
	if err := os.WriteFile(s.files.certificate(program), pair.CertificatePEM, 0o600); err != nil {
		return fmt.Errorf("keeping the serving certificate of %s: %w", program, err)
	}
	return nil
}

func (s *Stack) applyManifests(ctx context.Context, caBundle []byte) error {
	// kustomize takes relative paths only, and compares them with real ones.
	from, err := filepath.EvalSymlinks(s.files.registration())
	if err != nil {
		return fmt.Errorf("finding %s: %w", s.files.registration(), err)
	}
	to, err := filepath.EvalSymlinks(filepath.Join(s.options.Repository, "hack", "stack", "manifests"))
	if err != nil {
		return fmt.Errorf("finding the manifests: %w", err)
	}
	overlay, err := filepath.Rel(from, to)
	if err != nil {
		return fmt.Errorf("finding the manifests: %w", err)
	}
	bundle := base64.StdEncoding.EncodeToString(caBundle)
	port := s.extensionPort
	if s.options.ReplicasAt != "" {
		port = servicePort
	}
	text := fmt.Sprintf(registrationTemplate, overlay, apiServiceName, bundle, port)
	if s.options.ReplicasAt != "" {
		text += replicasTemplate
	}
	for _, name := range slices.Sorted(maps.Keys(webhookConfigurations)) {
		text += fmt.Sprintf(webhookTemplate, name, s.WebhookAddress(), webhookConfigurations[name], bundle)
	}
	if err := os.WriteFile(filepath.Join(from, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing the registration: %w", err)
	}
	_, err = s.Kubectl(ctx, "apply", "--server-side", "--force-conflicts", "--field-manager="+fieldManager, "--validate=strict", "-k", from)
	return err
}

func (s *Stack) writeAccountKubeconfig(ctx context.Context, client kubernetes.Interface, account string) error {
	seconds := int64(tokenLifetime / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	answer, err := client.CoreV1().ServiceAccounts(Namespace).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("asking for a token of ServiceAccount %s: %w", account, err)
	}
	user := &clientcmdapi.AuthInfo{Token: answer.Status.Token}
	return controlplane.WriteKubeconfig(s.files.kubeconfig(account), s.Config().Host, s.CertificateAuthorityData(), user)
}
