package apiserver

import (
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// withJSONForOurKinds takes protobuf out of what a client accepts for our kinds,
// which have no protobuf form, while it also accepts another one. The library
// would choose protobuf and then answer 406. Tables and metadata (as=…) have a
// protobuf form and are left alone.
func withJSONForOurKinds(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		info, found := genericapirequest.RequestInfoFrom(request.Context())
		if found && info.IsResourceRequest && info.APIGroup == v1alpha1.GroupName {
			if accept := withoutPlainProtobuf(request.Header.Values("Accept")); accept != "" {
				request = request.Clone(request.Context())
				request.Header.Set("Accept", accept)
			}
		}
		next.ServeHTTP(w, request)
	})
}

// withoutPlainProtobuf returns the clauses without those that ask for protobuf
// of the object itself; empty when nothing is to be changed.
func withoutPlainProtobuf(accept []string) string {
	var kept []string
	dropped := false
	for _, clause := range strings.Split(strings.Join(accept, ","), ",") {
		parts := strings.Split(clause, ";")
		plain := strings.TrimSpace(parts[0]) == runtime.ContentTypeProtobuf
		for _, parameter := range parts[1:] {
			plain = plain && !strings.HasPrefix(strings.TrimSpace(parameter), "as=")
		}
		if plain {
			dropped = true
			continue
		}
		kept = append(kept, clause)
	}
	if !dropped {
		return ""
	}
	return strings.Join(kept, ",")
}
