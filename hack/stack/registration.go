package stack

import (
	"context"
	"crypto/x509"
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
	"github.com/ambient-code/ambient-kube/certs/rotation"
	"github.com/ambient-code/ambient-kube/hack/controlplane"
)

const (
	// A stand may run for long; its tokens and certificates are made anew at
	// each start.
	tokenLifetime       = 365 * 24 * time.Hour
	certificateLifetime = 365 * 24 * time.Hour

	apiServiceName = "v1alpha1.ambient.io"
	fieldManager   = "ambient-kube-stack"

	// OperatorAccount is the ServiceAccount of the stand-in operator, which is that of
	// the platform's; those of our programs have the programs' names.
	OperatorAccount   = "agentic-operator"
	operatorNamespace = "ambient-code"

	// AuthoritySecret is the Secret of the certificate authority of our programs.
	AuthoritySecret = "ambient-kube-ca"

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
`

// processTemplate lets kube-apiserver reach a process of this machine: under a name
// that means it, at a port of its own. Replicas are reached as in a cluster, by the
// Service of the manifests.
const processTemplate = `- target:
    kind: Service
    name: %s
  patch: |-
    - op: replace
      path: /spec
      value:
        type: ExternalName
        externalName: 127.0.0.1
- target:
    kind: APIService
    name: %s
  patch: |-
    - op: replace
      path: /spec/service/port
      value: %d
`

// apiServiceBundleTemplate follows, where certificates are in files.
const apiServiceBundleTemplate = `- target:
    kind: APIService
    name: ` + apiServiceName + `
  patch: |-
    - op: add
      path: /spec/caBundle
      value: %s
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
`

// webhookBundleTemplate follows, where certificates are in files.
const webhookBundleTemplate = `        caBundle: %s
`

// register applies the manifests and makes what our programs need of the
// cluster: a kubeconfig for each account, and a serving certificate if it is in a
// file.
func (s *Stack) register(ctx context.Context) error {
	var bundle []byte
	if s.options.CertificateFiles {
		if err := s.IssueCertificates(s.ExtensionAuthority()); err != nil {
			return err
		}
		bundle = s.ExtensionAuthority().CertificatePEM()
	}
	if err := s.applyManifests(ctx, bundle); err != nil {
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

// IssueCertificates makes the files of the serving certificates of both our
// programs, or replaces them while they run.
func (s *Stack) IssueCertificates(authority *certs.Authority) error {
	for program, leaf := range map[string]certs.Leaf{
		APIServerName:  {CommonName: ServerName, DNSNames: []string{ServerName}},
		ReconcilerName: {CommonName: ReconcilerName, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}},
	} {
		leaf.Usage, leaf.Lifetime = certs.Server, certificateLifetime
		pair, err := authority.Issue(leaf)
		if err != nil {
			return err
		}
		if err := s.files.replacePair(program, pair); err != nil {
			return err
		}
	}
	return nil
}

// ServingRoots returns whom clients of our programs trust now.
func (s *Stack) ServingRoots(ctx context.Context) (*x509.CertPool, error) {
	bundle := s.ExtensionAuthority().CertificatePEM()
	if !s.options.CertificateFiles {
		client, err := kubernetes.NewForConfig(s.Config())
		if err != nil {
			return nil, fmt.Errorf("making a client: %w", err)
		}
		held, err := client.CoreV1().Secrets(Namespace).Get(ctx, AuthoritySecret, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("reading the certificate authority: %w", err)
		}
		bundle = held.Data[rotation.BundleKey]
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	return roots, nil
}

// applyManifests applies the local overlay. Without a bundle, our programs write
// the caBundles.
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
	withBundle := func(text, template string) string {
		if len(caBundle) == 0 {
			return text
		}
		return text + fmt.Sprintf(template, base64.StdEncoding.EncodeToString(caBundle))
	}
	text := fmt.Sprintf(registrationTemplate, overlay)
	if s.options.ReplicasAt == "" {
		text += fmt.Sprintf(processTemplate, APIServerName, apiServiceName, s.extensionPort)
	}
	text = withBundle(text, apiServiceBundleTemplate)
	for _, name := range slices.Sorted(maps.Keys(webhookConfigurations)) {
		text += withBundle(fmt.Sprintf(webhookTemplate, name, s.WebhookAddress(), webhookConfigurations[name]), webhookBundleTemplate)
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
	answer, err := client.CoreV1().ServiceAccounts(namespaceOf(account)).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("asking for a token of ServiceAccount %s: %w", account, err)
	}
	user := &clientcmdapi.AuthInfo{Token: answer.Status.Token}
	return controlplane.WriteKubeconfig(s.files.kubeconfig(account), s.Config().Host, s.CertificateAuthorityData(), user)
}
