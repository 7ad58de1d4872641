package upstream

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// traced returns an interceptor that makes each call a span of the trace that its
// context belongs to, and tells the upstream of it by the header traceparent. Calls
// that belong to none, those of the feeds, stay out: they never end, or come for ever.
// No payload gets into a span.
func traced(provider trace.TracerProvider) grpc.UnaryClientInterceptor {
	if provider == nil {
		provider = noop.NewTracerProvider()
	}
	tracer := provider.Tracer("github.com/ambient-code/ambient-kube/apiserver/upstream")
	return func(ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
		if !trace.SpanContextFromContext(ctx).IsValid() {
			return invoke(ctx, method, request, reply, connection, options...)
		}
		service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
		ctx, span := tracer.Start(ctx, service+"/"+name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("rpc.system", "grpc"), attribute.String("rpc.service", service), attribute.String("rpc.method", name),
		))
		defer span.End()
		outgoing, known := metadata.FromOutgoingContext(ctx)
		if known {
			outgoing = outgoing.Copy()
		} else {
			outgoing = metadata.MD{}
		}
		propagation.TraceContext{}.Inject(ctx, headers(outgoing))
		err := invoke(metadata.NewOutgoingContext(ctx, outgoing), method, request, reply, connection, options...)
		span.SetAttributes(attribute.Int("rpc.grpc.status_code", int(status.Code(err))))
		if err != nil {
			// The code only: a message may quote what was written.
			span.SetStatus(codes.Error, status.Code(err).String())
		}
		return err
	}
}

// headers are the headers of a call, as propagators set them.
type headers metadata.MD

var _ propagation.TextMapCarrier = headers(nil)

// Get implements propagation.TextMapCarrier.
func (h headers) Get(key string) string {
	if values := metadata.MD(h).Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Set implements propagation.TextMapCarrier.
func (h headers) Set(key, value string) { metadata.MD(h).Set(key, value) }

// Keys implements propagation.TextMapCarrier.
func (h headers) Keys() []string {
	var keys []string
	for key := range h {
		keys = append(keys, key)
	}
	return keys
}
