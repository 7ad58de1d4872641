package harness

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/ambient-code/ambient-kube/hack/controlplane"
	"github.com/ambient-code/ambient-kube/hack/process"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// Allowed is a kind of error in a log that would fail the tests and may occur.
// Data races and panics never may.
type Allowed struct {
	// Process is the name of the process that may log it.
	Process string
	// Pattern matches somewhere in the entry, which may have several lines.
	Pattern *regexp.Regexp
	// Why it is no fault.
	Why string
}

// everyRun lists what every run of a stand logs.
var everyRun = []Allowed{
	{controlplane.APIServerName, regexp.MustCompile(`repairip\.go.*is not allocated; repairing`), "the cluster is being born, or kube-apiserver starts again"},
	{controlplane.APIServerName, regexp.MustCompile(`handler_proxy\.go.*error resolving ambient-system/ambient-kube-apiserver: service .* not found`), "it is asked for our API before it has read its Services"},
	{controlplane.APIServerName, regexp.MustCompile(`The manifest file is empty, ignoring`), "a message about a file that we do not use, at a wrong level"},
	{controlplane.ControllerManagerName, regexp.MustCompile(`The manifest file is empty, ignoring`), "a message about a file that we do not use, at a wrong level"},
	{controlplane.APIServerName, regexp.MustCompile(`Failed to ensure lease exists, will retry.*namespaces \\"kube-system\\" not found`), "the cluster is being born"},
	{controlplane.APIServerName, regexp.MustCompile(`Error while syncing ConfigMap.*namespaces \\"kube-system\\" not found`), "the cluster is being born"},
	{controlplane.APIServerName, regexp.MustCompile(`Found stale data, removed previous endpoints on kubernetes service`), "the cluster is being born"},
	{controlplane.APIServerName, regexp.MustCompile(`v1alpha1\.ambient\.io failed with: failing or missing response`), "the API is registered before its server runs"},
	{controlplane.APIServerName, regexp.MustCompile(`typeconverter\.go.*failed to fetch openapi paths`), "it asks itself while the machine is busy, and again later"},
	{controlplane.APIServerName, regexp.MustCompile(`remote_available_controller\.go.*Operation cannot be fulfilled on apiservices.*the object has been modified`), "its controllers write the same status"},
	{stack.APIServerName, regexp.MustCompile(`cacher\.go.*unexpected ListAndWatch error:.* waiting for the first synchronisation: context canceled`), "the server ends"},
	{stack.APIServerName, regexp.MustCompile(`plugin\.go.*policy source context unexpectedly closed: handler .* was not added to shared informer because it has stopped already`), "the server ends while it still starts"},
	{stack.APIServerName, regexp.MustCompile(watchEnded), "a client ended a watch while the server wrote to it"},
	{stack.APIServerName, regexp.MustCompile(`secure_serving\.go.*Failed to shutdown server: context deadline exceeded`), "a client has a connection, and sent nothing on it yet; requests had their time before"},
	{controlplane.APIServerName, regexp.MustCompile(`(?s)controller\.go.*(loading OpenAPI spec for|failed to download) \\?"?v1alpha1\.ambient\.io`), "the API is registered before its server runs"},
	{controlplane.APIServerName, regexp.MustCompile(`wrap\.go.*Timeout or abort while handling.*ambient\.io.*watch=true`), "a client ended a watch that is served through the aggregator"},
	{stack.APIServerName, regexp.MustCompile(`authentication\.go.*Unable to authenticate the request.*certificate signed by unknown authority`), "kube-apiserver asks before the front proxy's authority was read; a server at that point is not ready"},
	{controlplane.ControllerManagerName, regexp.MustCompile(`namespaced_resources_deleter\.go.*Couldn't update status condition for namespace.*the object has been modified`), "a test changes a namespace that is being deleted"},
	{controlplane.ControllerManagerName, regexp.MustCompile(`reflector\.go.*Failed to watch.*the server is currently unable to handle the request.*PartialObjectMetadata`), "our server ends before the controllers that watch its objects"},
	{controlplane.APIServerName, regexp.MustCompile(`failed calling webhook.*agenticsessions\.ambient\.io.*(connection refused|connection reset|EOF|context deadline exceeded)`), "the reconciler is away, or the machine is busy, and an edit is let pass"},
	{controlplane.APIServerName, Abandoned, "a client ends, or gives up, while it waits: our server with its lease, a kubectl that is killed"},
	{controlplane.EtcdName, regexp.MustCompile(`setting up serving from embedded etcd failed.*(Server closed|server closed|use of closed network connection)`), "how etcd says that it was told to end"},
}

// watchEnded matches what the library of all API servers says of a watch whose client
// ends it just then.
const watchEnded = `watch\.go.*Failed to (encode|close|flush) watch.*(stream closed|client disconnected|context canceled)`

// Abandoned matches what the library of all API servers says of a request whose client
// is gone.
var Abandoned = regexp.MustCompile(`(writers|status)\.go.*(http: Handler timeout|context canceled|client disconnected|stream error: stream ID \d+; CANCEL)|` +
	`(wrap|timeout)\.go.*(Timeout or abort while handling|Post-timeout activity)|` +
	`(request|webhook|errors|authentication|authorization)\.go.*context canceled|` +
	watchEnded + `|` +
	`finisher\.go.*post-timeout activity.*panicked: false`)

// entryStart matches the first line of a log entry in any of the forms that the
// processes use: klog, slog's text, zap's JSON.
var entryStart = regexp.MustCompile(`^([IWEF]\d{4} \d\d:|time=\d{4}-|\{")`)

var (
	severe = regexp.MustCompile(`^([EF]\d{4} \d\d:|time=\S+ level=ERROR|\{"level":"(error|dpanic|panic|fatal)")`)
	crash  = regexp.MustCompile(`DATA RACE|(?i:\bpanic)`)
	// noPanic is how API servers say that a request, one whose client is gone or, in
	// their most verbose logs, any, ended without one.
	noPanic = regexp.MustCompile(`panicked: false|panic-reason: <nil>|panicking=false`)
)

// startRace matches the report of a data race within the library of all API servers:
// its server goes on preparing its TLS settings after it has started the goroutine
// that copies them whenever a certificate or an authority changes
// (SecureServingInfo.tlsConfig in k8s.io/apiserver/pkg/server). It takes an
// authority that arrives in that very moment, before the first connection.
var startRace = regexp.MustCompile(`WARNING: DATA RACE\nWrite at [^\n]*\n  ` +
	`(k8s\.io/apiserver/pkg/server\.\(\*SecureServingInfo\)\.tlsConfig|golang\.org/x/net/http2\.configureServer)\(\)[^=]*?` +
	`\nPrevious read at [^\n]*\n  crypto/tls\.\(\*Config\)\.Clone\(\)[^=]*?\(\*DynamicServingCertificateController\)\.syncCerts\(\)`)

// checkLogs returns an error that names each forbidden entry of the logs.
func (s *Stand) checkLogs(allowed []Allowed) error {
	all := append(append([]Allowed{}, everyRun...), allowed...)
	var failures []error
	for _, p := range s.Stack.Processes() {
		failures = append(failures, checkLog(p.Name(), p.LogPath(), all))
	}
	return errors.Join(failures...)
}

// CheckLog is for a process that no Stand has: it returns an error that names each
// entry of its log that neither every run has nor is allowed.
func CheckLog(process, path string, allowed []Allowed) error {
	return checkLog(process, path, append(append([]Allowed{}, everyRun...), allowed...))
}

func checkLog(process, path string, allowed []Allowed) error {
	entries, err := readEntries(path)
	failures := []error{err}
	for _, entry := range entries {
		if forbidden(process, entry, allowed) {
			failures = append(failures, fmt.Errorf("%s logged what is on no allow list:\n%s", process, shorten(entry)))
		}
	}
	return errors.Join(failures...)
}

// readEntries joins the lines of each entry.
func readEntries(path string) ([]string, error) {
	var entries []string
	var current []string
	flush := func() {
		if len(current) > 0 {
			entries = append(entries, strings.Join(current, "\n"))
		}
		current = nil
	}
	err := process.Lines(path, func(line string) bool {
		if entryStart.MatchString(line) {
			flush()
		}
		current = append(current, line)
		return true
	})
	flush()
	return entries, err
}

func forbidden(process, entry string, allowed []Allowed) bool {
	if crash.MatchString(startRace.ReplaceAllString(noPanic.ReplaceAllString(entry, ""), "")) {
		return true
	}
	if !severe.MatchString(entry) {
		return false
	}
	for _, exception := range allowed {
		if exception.Process == process && exception.Pattern.MatchString(entry) {
			return false
		}
	}
	return true
}

func shorten(entry string) string {
	const longest = 3000
	if len(entry) <= longest {
		return entry
	}
	return entry[:longest] + " …"
}
