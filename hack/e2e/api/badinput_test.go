package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// badInput is a request that must be refused, and how.
type badInput struct {
	name               string
	method, path, body string
	contentType        string
	header             map[string]string
	code               int
	reason             metav1.StatusReason
	fields             []string
	message            string
}

// The table of bad input. None of it is answered with 5xx, and none of it writes.
// No other test runs beside, so that all rows can be counted.
func TestBadInputTable(t *testing.T) {
	project := newProject(t)
	session := newSession(t, project, "present")
	sessions := "/apis/ambient.io/v1alpha1/namespaces/" + project + "/sessions"
	settings := "/apis/ambient.io/v1alpha1/namespaces/" + project + "/projectsettings"
	const projects = "/apis/ambient.io/v1alpha1/projects"
	present := sessions + "/present"
	body := func(kind, name, spec string) string {
		return fmt.Sprintf(`{"apiVersion":"ambient.io/v1alpha1","kind":%q,"metadata":{"name":%q},"spec":{%s}}`, kind, name, spec)
	}
	put := func(version, spec string) string {
		return fmt.Sprintf(`{"apiVersion":"ambient.io/v1alpha1","kind":"Session","metadata":{"name":"present","resourceVersion":%q},"spec":{%s}}`, version, spec)
	}
	long := strings.Repeat("x", 256)
	const invalid, badRequest = metav1.StatusReasonInvalid, metav1.StatusReasonBadRequest
	mergePatch, jsonPatch, applyPatch := "application/merge-patch+json", "application/json-patch+json", "application/apply-patch+yaml"
	nowhere := "/apis/ambient.io/v1alpha1/namespaces/nowhere-at-all"
	table := []badInput{
		{name: "an unknown field, strict", method: "POST", path: sessions + "?fieldValidation=Strict", body: body("Session", "a", `"promt":"x"`), code: 400, reason: badRequest, message: `unknown field \"spec.promt\"`},
		{name: "a field twice, strict", method: "POST", path: sessions + "?fieldValidation=Strict", body: body("Session", "a", `"prompt":"x","prompt":"y"`), code: 400, reason: badRequest, message: `duplicate field \"spec.prompt\"`},
		{name: "a text that should be a number", method: "POST", path: sessions, body: body("Session", "a", `"timeoutSeconds":"ten"`), code: 400, reason: badRequest, message: "timeoutSeconds"},
		{name: "an object that should be a list", method: "POST", path: sessions, body: body("Session", "a", `"repositories":{}`), code: 400, reason: badRequest, message: "repositories"},
		{name: "a number beyond its type", method: "POST", path: sessions, body: body("Session", "a", `"timeoutSeconds":4294967296`), code: 400, reason: badRequest, message: "timeoutSeconds"},
		{name: "a number that should be a text, patched", method: "PATCH", path: present, contentType: mergePatch, body: `{"spec":{"prompt":7}}`, code: 422, reason: invalid, fields: []string{"patch"}},
		{name: "a name with capitals", method: "POST", path: sessions, body: body("Session", "Not-A-Label", ""), code: 422, reason: invalid, fields: []string{"metadata.name"}},
		{name: "a name with a dot", method: "POST", path: sessions, body: body("Session", "a.b", ""), code: 422, reason: invalid, fields: []string{"metadata.name"}},
		{name: "a name that is too long", method: "POST", path: sessions, body: body("Session", strings.Repeat("a", 64), ""), code: 422, reason: invalid, fields: []string{"metadata.name"}},
		{name: "no name", method: "POST", path: sessions, body: body("Session", "", ""), code: 422, reason: invalid, fields: []string{"metadata.name"}},
		{name: "a project's name that begins with a digit", method: "POST", path: projects, body: body("Project", "1a", ""), code: 422, reason: invalid, fields: []string{"metadata.name"}},
		{name: "a project's name of one letter", method: "POST", path: projects, body: body("Project", "a", ""), code: 422, reason: invalid, fields: []string{"metadata.name"}},
		{name: "settings of another name", method: "POST", path: settings, body: body("ProjectSettings", "mine", ""), code: 422, reason: invalid, fields: []string{"metadata.name"}},
		{name: "a session of a project that does not exist", method: "POST", path: nowhere + "/sessions", body: body("Session", "a", ""), code: 422, reason: invalid, fields: []string{"metadata.namespace"}},
		{name: "settings of a project that does not exist", method: "POST", path: nowhere + "/projectsettings", body: body("ProjectSettings", "settings", ""), code: 422, reason: invalid, fields: []string{"metadata.namespace"}},
		{name: "a parent session that does not exist", method: "POST", path: sessions, body: body("Session", "a", `"parentSessionID":"nobody"`), code: 422, reason: invalid, fields: []string{"spec.parentSessionID"}},
		{name: "a parent session that does not exist, patched", method: "PATCH", path: present, contentType: mergePatch, body: `{"spec":{"parentSessionID":"nobody"}}`, code: 422, reason: invalid, fields: []string{"spec.parentSessionID"}},
		{name: "a display name that is too long", method: "POST", path: sessions, body: body("Session", "a", `"displayName":"`+long+`"`), code: 422, reason: invalid, fields: []string{"spec.displayName"}},
		{name: "a display name that is too long, patched", method: "PATCH", path: present, contentType: mergePatch, body: `{"spec":{"displayName":"` + long + `"}}`, code: 422, reason: invalid, fields: []string{"spec.displayName"}},
		{name: "a prompt that is too long", method: "POST", path: sessions, body: body("Session", "a", `"prompt":"`+strings.Repeat("x", 1<<20+1)+`"`), code: 422, reason: invalid, fields: []string{"spec.prompt"}},
		{name: "a body beyond all limits", method: "POST", path: sessions, body: body("Session", "a", `"prompt":"`+strings.Repeat("x", 4<<20)+`"`), code: 413, reason: metav1.StatusReasonRequestEntityTooLarge},
		{name: "NUL in the prompt", method: "POST", path: sessions, body: body("Session", "a", `"prompt":"a\u0000b"`), code: 422, reason: invalid, fields: []string{"spec.prompt"}},
		{name: "NUL in a variable", method: "POST", path: sessions, body: body("Session", "a", `"environment":{"A":"\u0000"}`), code: 422, reason: invalid, fields: []string{"spec.environment[A]"}},
		{name: "NUL in a project's description", method: "PATCH", path: projects + "/" + project, contentType: mergePatch, body: `{"spec":{"description":"\u0000"}}`, code: 422, reason: invalid, fields: []string{"spec.description"}},
		{name: "NUL in an annotation", method: "PATCH", path: present, contentType: mergePatch, body: `{"metadata":{"annotations":{"a":"\u0000"}}}`, code: 422, reason: invalid, fields: []string{"metadata.annotations[a]"}},
		{name: "a variable's name", method: "POST", path: sessions, body: body("Session", "a", `"environment":{"A B":"x"}`), code: 422, reason: invalid, fields: []string{"spec.environment[A B]"}},
		{name: "a temperature that is too high", method: "POST", path: sessions, body: body("Session", "a", `"llm":{"temperature":2.5}`), code: 422, reason: invalid, fields: []string{"spec.llm.temperature"}},
		{name: "a role that does not exist", method: "POST", path: settings, body: body("ProjectSettings", "settings", `"groupAccess":[{"groupName":"g","role":"owner"}]`), code: 422, reason: invalid, fields: []string{"spec.groupAccess[0].role"}},
		{name: "a label that Kubernetes refuses", method: "PATCH", path: present, contentType: mergePatch, body: `{"metadata":{"labels":{"a b":"c"}}}`, code: 422, reason: invalid, fields: []string{"metadata.labels"}},
		{name: "a reserved annotation", method: "PATCH", path: present, contentType: mergePatch, body: `{"metadata":{"annotations":{"ambient.io/kubernetes":"{}"}}}`, code: 422, reason: invalid, fields: []string{"metadata.annotations[ambient.io/kubernetes]"}},
		{name: "a phase that does not exist", method: "PATCH", path: present + "/status", contentType: mergePatch, body: `{"status":{"phase":"Dancing"}}`, code: 422, reason: invalid, fields: []string{"status.phase"}},
		{name: "invalid JSON", method: "POST", path: sessions, body: `{"apiVersion":`, code: 400, reason: badRequest},
		{name: "no body", method: "POST", path: sessions, code: 400, reason: badRequest},
		{name: "another kind", method: "POST", path: sessions, body: body("Project", "a", ""), code: 400, reason: badRequest},
		{name: "another namespace in the body", method: "POST", path: sessions, body: `{"apiVersion":"ambient.io/v1alpha1","kind":"Session","metadata":{"name":"a","namespace":"other"}}`, code: 400, reason: badRequest},
		{name: "another name in the body", method: "PUT", path: sessions + "/other", body: put("", ""), code: 400, reason: badRequest},
		{name: "invalid JSON, patched", method: "PATCH", path: present, contentType: mergePatch, body: `{"spec":`, code: 400, reason: badRequest},
		{name: "a JSON patch of nothing", method: "PATCH", path: present, contentType: jsonPatch, body: `[{"op":"remove","path":"/spec/nothing"}]`, code: 422, reason: invalid},
		{name: "an apply without a manager", method: "PATCH", path: present, contentType: applyPatch, body: body("Session", "present", ""), code: 422, reason: invalid, fields: []string{"fieldManager"}},
		{name: "a content type that nobody speaks", method: "POST", path: sessions, contentType: "text/plain", body: "hello", code: 415, reason: metav1.StatusReasonUnsupportedMediaType},
		{name: "a stale resourceVersion", method: "PUT", path: present, body: put("1", `"prompt":"late"`), code: 409, reason: metav1.StatusReasonConflict},
		{name: "a resourceVersion that is no number", method: "PUT", path: present, body: put("abc", `"prompt":"late"`), code: 422, reason: invalid, fields: []string{"metadata.resourceVersion"}},
		{name: "a creation with a resourceVersion", method: "POST", path: sessions, body: strings.Replace(put("1", ""), "present", "new", 1), code: 400, reason: badRequest},
		{name: "another UID", method: "PATCH", path: present, contentType: mergePatch, body: `{"metadata":{"uid":"other"}}`, code: 422, reason: invalid, fields: []string{"metadata.uid"}},
		{name: "another creator", method: "PATCH", path: present, contentType: mergePatch, body: `{"spec":{"createdBy":"me"}}`, code: 422, reason: invalid, fields: []string{"spec.createdBy"}},
		{name: "an unknown field selector", method: "GET", path: sessions + "?fieldSelector=spec.prompt%3Dx", code: 400, reason: badRequest, message: "spec.prompt"},
		{name: "an unknown field selector of projects", method: "GET", path: projects + "?fieldSelector=status.phase%3Dx", code: 400, reason: badRequest},
		{name: "an unknown field selector of a watch", method: "GET", path: sessions + "?watch=true&fieldSelector=spec.prompt%3Dx", code: 400, reason: badRequest},
		{name: "a label selector that is none", method: "GET", path: sessions + "?labelSelector=a%3D%3D%3Db", code: 400, reason: badRequest},
		{name: "a continue token that is none", method: "GET", path: sessions + "?limit=1&continue=abc", code: 400, reason: badRequest},
		{name: "a list from a resourceVersion that is no number", method: "GET", path: sessions + "?resourceVersion=abc", code: 400, reason: badRequest},
		{name: "a list at a version too old", method: "GET", path: sessions + "?resourceVersion=1&resourceVersionMatch=Exact", code: 410, reason: metav1.StatusReasonExpired},
		{name: "an object that does not exist", method: "GET", path: sessions + "/nobody", code: 404, reason: metav1.StatusReasonNotFound},
		{name: "a deletion of what does not exist", method: "DELETE", path: sessions + "/nobody", code: 404, reason: metav1.StatusReasonNotFound},
		{name: "a start of what does not exist", method: "POST", path: sessions + "/nobody/start", body: `{"apiVersion":"ambient.io/v1alpha1","kind":"SessionRequest"}`, code: 404, reason: metav1.StatusReasonNotFound},
		{name: "a user without rights", method: "POST", path: sessions, body: body("Session", "a", ""), header: map[string]string{"Impersonate-User": "alice"}, code: 403, reason: metav1.StatusReasonForbidden, message: "alice"},
		{name: "a user without rights who reads", method: "GET", path: sessions, header: map[string]string{"Impersonate-User": "alice"}, code: 403, reason: metav1.StatusReasonForbidden},
		{name: "a user without rights who stops", method: "POST", path: present + "/stop", header: map[string]string{"Impersonate-User": "alice"}, body: "{}", code: 403, reason: metav1.StatusReasonForbidden},
	}
	rows, row := stand.Upstream.Rows(t), stand.Upstream.Session(t, session.Status.SessionID)
	projectRow := stand.Upstream.Project(t, project)
	for _, test := range table {
		t.Run(test.name, func(t *testing.T) { refused(t, test) })
	}
	if after := stand.Upstream.Rows(t); after != rows {
		t.Errorf("the upstream held %+v and holds %+v", rows, after)
	}
	if after := stand.Upstream.Session(t, session.Status.SessionID); after.String() != row.String() {
		t.Errorf("the row was\n%v\nand is\n%v", row, after)
	}
	if after := stand.Upstream.Project(t, project); after.String() != projectRow.String() {
		t.Errorf("the project's row was\n%v\nand is\n%v", projectRow, after)
	}
}

func refused(t *testing.T, test badInput) {
	t.Helper()
	answer := stand.Do(t, harness.Request{Method: test.method, Path: test.path, Body: test.body, ContentType: test.contentType, Header: test.header})
	body := answer.Body[:min(len(answer.Body), 1000)]
	if answer.Code != test.code || answer.Status.Reason != test.reason {
		t.Errorf("%d %s, want %d %s: %s", answer.Code, answer.Status.Reason, test.code, test.reason, body)
	}
	for _, field := range test.fields {
		if !slices.Contains(answer.Causes(), field) {
			t.Errorf("the causes name %q, want %q: %s", answer.Causes(), field, body)
		}
	}
	if !strings.Contains(answer.Body, test.message) {
		t.Errorf("the message lacks %q: %s", test.message, body)
	}
}

// Unknown fields that are not refused are named in a warning, and ignored.
func TestUnknownFieldsAreWarnedOf(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	path := "/apis/ambient.io/v1alpha1/namespaces/" + project + "/sessions"
	body := `{"apiVersion":"ambient.io/v1alpha1","kind":"Session","metadata":{"name":%q},"spec":{"prompt":"x","promt":"y"}}`
	warned := stand.Do(t, harness.Request{Method: "POST", Path: path + "?fieldValidation=Warn", Body: fmt.Sprintf(body, "warned")})
	if warned.Code != 201 || !strings.Contains(warned.Header.Get("Warning"), "spec.promt") {
		t.Errorf("%d, warning %q", warned.Code, warned.Header.Get("Warning"))
	}
	ignored := stand.Do(t, harness.Request{Method: "POST", Path: path + "?fieldValidation=Ignore", Body: fmt.Sprintf(body, "ignored")})
	if ignored.Code != 201 || ignored.Header.Get("Warning") != "" {
		t.Errorf("%d, warning %q", ignored.Code, ignored.Header.Get("Warning"))
	}
	for _, row := range stand.Upstream.SessionsIn(t, project) {
		if strings.Contains(row.String(), "promt") {
			t.Errorf("the unknown field reached the upstream: %v", row)
		}
	}
	output := stand.KubectlFails(t, sessionManifest(project, "strict", "promt: y"), "create", "-f", "-")
	harness.Contains(t, output.Stderr, `unknown field "spec.promt"`)
}
