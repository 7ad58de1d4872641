package storage

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/component-base/tracing"
	"k8s.io/klog/v2"
)

// slow is the duration above which an operation is logged with its steps.
const slow = 2 * time.Second

// span makes an operation part of its request's trace, and what it logs part of the
// request's entries in the audit log. The returned function ends it.
func (s *Store) span(ctx context.Context, operation string) (context.Context, func()) {
	resource := s.options.GroupResource.String()
	attributes := []attribute.KeyValue{attribute.String("resource", resource)}
	if id, known := audit.AuditIDFrom(ctx); known {
		attributes = append(attributes, attribute.String("audit-id", string(id)))
		ctx = klog.NewContext(ctx, klog.FromContext(ctx).WithValues("auditID", string(id)))
	}
	ctx, span := tracing.Start(ctx, "Storage."+operation, attributes...)
	return ctx, func() { span.End(slow) }
}
