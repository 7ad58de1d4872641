package stack

import (
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
)

// accessReview asks for a right as a table writes it:
// resource.group[/name][/--subresource=…][/-n/namespace].
func accessReview(user, verb, text string) *authorizationv1.SubjectAccessReview {
	attributes := &authorizationv1.ResourceAttributes{Verb: verb, Version: "*"}
	text, attributes.Namespace, _ = strings.Cut(text, "/-n/")
	text, attributes.Subresource, _ = strings.Cut(text, "/--subresource=")
	text, attributes.Name, _ = strings.Cut(text, "/")
	attributes.Resource, attributes.Group, _ = strings.Cut(text, ".")
	return &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: attributes}}
}
