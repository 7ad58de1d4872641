package deploy

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/certs"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// overlayWithCertManager is an overlay of a person's own: the local one, with
// certificates by cert-manager.
func overlayWithCertManager(t *testing.T) string {
	t.Helper()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(folder, filepath.Join(here.repository, "manifests"))
	if err != nil {
		t.Fatal(err)
	}
	text := "resources: [" + relative + "/overlays/local]\ncomponents: [" + relative + "/components/cert-manager]\n"
	if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// deployWithCertManager deploys the overlay while the test does what cert-manager
// would: it makes the Secrets, and writes its authority where the annotations ask
// for it.
func deployWithCertManager(t *testing.T, overlay string) {
	t.Helper()
	prepareNamespace(t)
	authority, err := certs.NewAuthority("cert-manager")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{apiserver, reconciler} {
		name := program + "." + namespace + ".svc"
		pair, err := authority.Issue(certs.Leaf{CommonName: name, DNSNames: []string{name}, Usage: certs.Server, Lifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: program + "-tls"}, Type: corev1.SecretTypeTLS,
			Data: map[string][]byte{corev1.TLSCertKey: pair.CertificatePEM, corev1.TLSPrivateKeyKey: pair.KeyPEM},
		}
		if _, err := here.kube.CoreV1().Secrets(namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	deployed := make(chan error, 1)
	go func() {
		output, err := here.make(t.Context(), "deploy", "OVERLAY="+overlay)
		if err != nil {
			err = fmt.Errorf("make deploy: %w\n%s", err, output)
		}
		deployed <- err
	}()
	bundle := base64.StdEncoding.EncodeToString(authority.CertificatePEM())
	inject(t, "apiservice", "v1alpha1.ambient.io", apiserver, `[{"op":"add","path":"/spec/caBundle","value":"`+bundle+`"}]`)
	for _, webhook := range []string{"ambient-agenticsessions", "ambient-project-namespaces"} {
		inject(t, "validatingwebhookconfiguration", webhook, reconciler, `[{"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":"`+bundle+`"}]`)
	}
	if err := <-deployed; err != nil {
		t.Fatal(err)
	}
}

// inject patches an object as soon as it is there, if it is annotated to get the
// authority of the program's Certificate.
func inject(t *testing.T, kind, name, program, patch string) {
	t.Helper()
	// The programs come first, and before them the program that deploys is built.
	harness.Within(t, startTimeout, kind+" "+name+" asks for an authority", func() error {
		wanted, err := here.kubectl(t.Context(), nil, "get", kind, name, "-o", `jsonpath={.metadata.annotations.cert-manager\.io/inject-ca-from}`)
		if err == nil && strings.TrimSpace(wanted) != namespace+"/"+program {
			err = fmt.Errorf("it asks for %q", wanted)
		}
		return err
	})
	here.mustKubectl(t, "", "patch", kind, name, "--type=json", "-p", patch)
}
