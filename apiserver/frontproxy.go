package apiserver

import (
	"net/http"
	"slices"
	"strings"

	genericapiserver "k8s.io/apiserver/pkg/server"
)

// probes are asked by others than kube-apiserver.
var probes = []string{"/livez", "/readyz", "/healthz", "/metrics"}

// afterFrontProxy refuses all but probes with 503 until known returns true: until
// the authority of kube-apiserver's certificate is known, which is read a moment
// after the server begins to listen. Before, everybody whose request kube-apiserver
// passes on would be taken for system:anonymous, and get a 403 that clients take
// for the last word.
func afterFrontProxy(handler http.Handler, known func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		isProbe := slices.ContainsFunc(probes, func(path string) bool { return r.URL.Path == path || strings.HasPrefix(r.URL.Path, path+"/") })
		if isProbe || known() {
			handler.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the authority that kube-apiserver identifies itself by is not known yet", http.StatusServiceUnavailable)
	})
}

// frontProxyKnown tells whether the authority of kube-apiserver's certificate has
// been read, where one is to be.
func frontProxyKnown(c *genericapiserver.Config) func() bool {
	return func() bool {
		proxy := c.Authentication.RequestHeaderConfig
		if proxy == nil || proxy.CAContentProvider == nil {
			return true
		}
		_, known := proxy.CAContentProvider.VerifyOptions()
		return known
	}
}
