package api

import (
	"crypto/tls"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/certs"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// forged are the headers by which the front proxy names the user.
var forged = map[string]string{"X-Remote-User": "system:admin", "X-Remote-Group": "system:masters"}

// Who reaches our port without kube-apiserver in front is nobody, whatever the
// headers say.
func TestForgedFrontProxyHeaders(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	newSession(t, project, "secret")
	path := "/apis/ambient.io/v1alpha1/namespaces/" + project + "/sessions"
	pki := filepath.Join(filepath.Dir(stand.Stack.Kubeconfig()), "pki")
	ours := ourPair(t)
	proxy := loadPair(t, filepath.Join(pki, "front-proxy-client"))
	for name, test := range map[string]struct {
		certificate *tls.Certificate
		method      string
		header      map[string]string
		codes       string
	}{
		"no certificate and no headers":              {nil, "GET", nil, "401 403"},
		"headers without a certificate":              {nil, "GET", forged, "401 403"},
		"headers with a certificate of our own":      {&ours, "GET", forged, "401 403"},
		"a deletion with forged headers":             {nil, "DELETE", forged, "401 403"},
		"a token that is none":                       {nil, "GET", map[string]string{"Authorization": "Bearer nonsense"}, "401"},
		"the front proxy's own certificate":          {&proxy, "GET", forged, "200"},
		"the front proxy's certificate, another one": {&proxy, "GET", map[string]string{"X-Remote-User": "alice"}, "403"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := stand.DoDirectly(t, test.certificate, harness.Request{Method: test.method, Path: path, Header: test.header})
			if !strings.Contains(test.codes, strconv.Itoa(answer.Code)) {
				t.Errorf("%d %s, want %s", answer.Code, answer.Body, test.codes)
			}
		})
	}
	getSession(t, project, "secret")
}

// ourPair is a client's certificate by the authority that our programs keep.
func ourPair(t *testing.T) tls.Certificate {
	t.Helper()
	secret, err := stand.Kubernetes.CoreV1().Secrets(stack.Namespace).Get(t.Context(), stack.AuthoritySecret, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	authority, err := certs.ParseAuthority(secret.Data["tls.crt"], secret.Data["tls.key"])
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := authority.Issue(certs.Leaf{CommonName: "front-proxy", Usage: certs.Client})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(leaf.CertificatePEM, leaf.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func loadPair(t *testing.T, path string) tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(path+".crt", path+".key")
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// Rights come from RBAC, as for every kind; reading projects says nothing about
// sessions, and starting is a right of its own.
func TestRightsComeFromRBAC(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	newSession(t, project, "guarded")
	as := func(user string, arguments ...string) harness.Output {
		return stand.TryKubectl(t, "", append(arguments, "--as="+user, "-n", project)...)
	}
	harness.Contains(t, as("alice", "get", "sessions.ambient.io").Stderr, "Forbidden", `User "alice" cannot list resource "sessions"`)

	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: project},
		Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: "rbac.authorization.k8s.io", Name: "bob-of-" + project}},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "ambient-session-viewer"},
	}
	if _, err := stand.Kubernetes.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	bob := binding.Subjects[0].Name
	harness.Eventually(t, "bob may read sessions", func() error {
		if output := as(bob, "get", "sessions.ambient.io", "guarded", "-o", "name"); output.ExitCode != 0 {
			return errNotYet
		}
		return nil
	})
	for _, arguments := range [][]string{
		{"delete", "sessions.ambient.io", "guarded"},
		{"label", "sessions.ambient.io", "guarded", "a=b"},
		{"create", "--raw", "/apis/ambient.io/v1alpha1/namespaces/" + project + "/sessions/guarded/start", "-f", "/dev/null"},
	} {
		if output := as(bob, arguments...); output.ExitCode == 0 || !strings.Contains(strings.ToLower(output.Stderr), "forbidden") {
			t.Errorf("%v as a viewer: %+v", arguments, output)
		}
	}
}

// The one who creates is recorded, and nobody can be somebody else.
func TestTheCreatorIsRecorded(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	role := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: project},
		Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: "rbac.authorization.k8s.io", Name: "carol-of-" + project}},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "cluster-admin"},
	}
	if _, err := stand.Kubernetes.RbacV1().ClusterRoleBindings().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	carol := role.Subjects[0].Name
	harness.Eventually(t, "carol may create", func() error {
		if output := stand.TryKubectl(t, sessionManifest(project, "hers"), "create", "-f", "-", "--as="+carol); output.ExitCode != 0 {
			return errNotYet
		}
		return nil
	})
	if got := getSession(t, project, "hers").Spec.CreatedBy; got != carol {
		t.Errorf("created by %q, want %q", got, carol)
	}
	refused := stand.KubectlFails(t, sessionManifest(project, "forged", "createdBy: "+carol), "create", "-f", "-")
	harness.Contains(t, refused.Stderr, "spec.createdBy", "read-only")
	// Somebody else's change does not make it theirs; the original manifest,
	// which names nobody, may be applied again.
	stand.KubectlWithInput(t, sessionManifest(project, "hers", "displayName: Other"), "replace", "-f", "-")
	if got := getSession(t, project, "hers").Spec.CreatedBy; got != carol {
		t.Errorf("after a replacement by another user: created by %q, want %q", got, carol)
	}
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 1 {
		t.Errorf("%d rows, want 1", len(rows))
	}
}
