package upstream

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestACallIsPartOfTheTraceOfItsRequest(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(recorder))
	ctx, request := provider.Tracer("test").Start(metadata.AppendToOutgoingContext(t.Context(), "other", "kept"), "request")
	var sent metadata.MD
	invoke := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
		sent, _ = metadata.FromOutgoingContext(ctx)
		return status.Error(codes.NotFound, "canary")
	}
	if err := traced(provider)(ctx, "/ambient.v1.SessionService/GetSession", nil, nil, nil, invoke); status.Code(err) != codes.NotFound {
		t.Errorf("the call ended with %v", err)
	}
	request.End()
	spans := recorder.Ended()
	if len(spans) != 2 {
		t.Fatalf("%d spans ended", len(spans))
	}
	call := spans[0]
	if call.Name() != "ambient.v1.SessionService/GetSession" || call.Parent().SpanID() != request.SpanContext().SpanID() {
		t.Errorf("the span %s has the parent %s", call.Name(), call.Parent().SpanID())
	}
	if text := call.Status().Description; strings.Contains(text, "canary") || text != "NotFound" {
		t.Errorf("the span says %q", text)
	}
	want := "00-" + request.SpanContext().TraceID().String() + "-" + call.SpanContext().SpanID().String() + "-01"
	if got := sent.Get("traceparent"); len(got) != 1 || got[0] != want || len(sent.Get("other")) != 1 {
		t.Errorf("sent were %v, want traceparent %s", sent, want)
	}
}

func TestACallOfNoRequestIsNotTraced(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(recorder))
	invoke := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
		if sent, _ := metadata.FromOutgoingContext(ctx); len(sent) > 0 {
			t.Errorf("sent were %v", sent)
		}
		return nil
	}
	if err := traced(provider)(t.Context(), "/ambient.v1.SessionService/ListSessions", nil, nil, nil, invoke); err != nil {
		t.Fatal(err)
	}
	if spans := recorder.Started(); len(spans) > 0 {
		t.Errorf("%d spans began", len(spans))
	}
}
