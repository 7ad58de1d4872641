package storage

import (
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/audit"
)

func TestAnOperationIsPartOfTheTraceOfItsRequest(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	ctx, request := trace.NewTracerProvider(trace.WithSpanProcessor(recorder)).Tracer("test").Start(audit.WithAuditContext(t.Context()), "request")
	if err := audit.AuditContextFrom(ctx).Init(audit.RequestAuditConfig{}, nil); err != nil {
		t.Fatal(err)
	}
	audit.WithAuditID(ctx, "the-id")
	s := &Store{options: Options{GroupResource: schema.GroupResource{Group: "ambient.io", Resource: "sessions"}}}
	_, end := s.span(ctx, "Create")
	end()
	request.End()
	spans := recorder.Ended()
	if len(spans) != 2 || spans[0].Name() != "Storage.Create" || spans[0].Parent().SpanID() != request.SpanContext().SpanID() {
		t.Fatalf("the spans are %v", spans)
	}
	for _, want := range []attribute.KeyValue{attribute.String("resource", "sessions.ambient.io"), attribute.String("audit-id", "the-id")} {
		if !slices.Contains(spans[0].Attributes(), want) {
			t.Errorf("the span lacks %v, it has %v", want, spans[0].Attributes())
		}
	}
}
