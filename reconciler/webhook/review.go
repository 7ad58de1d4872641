package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

// largestReview bounds a request: two states of an object, which etcd limits to
// 1.5 MiB each, with room for what JSON adds.
const largestReview = 16 << 20

// mostReviews are judged at a time, whoever asks: kube-apiserver bears that a review
// fails, the leader would not bear any number of large ones.
const mostReviews = 16

// judge returns why a request is refused, "" if it is not. An error leaves the
// decision to the failurePolicy of the webhook's configuration.
type judge func(ctx context.Context, request *admissionv1.AdmissionRequest) (refusal string, err error)

// Answers, as the metric counts them.
const (
	allowed = "allowed"
	refused = "refused"
	failed  = "failed"
)

// RegisterMetrics registers the metrics of the webhooks.
func RegisterMetrics(registry prometheus.Registerer) *prometheus.CounterVec {
	reviews := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ambient_kube_reconciler_admission_reviews_total",
		Help: "Questions of kube-apiserver whether a change may be made, by webhook and answer.",
	}, []string{"webhook", "answer"})
	registry.MustRegister(reviews)
	return reviews
}

func newHandler(options Options) http.Handler {
	reviews := RegisterMetrics(options.Registry)
	places := make(chan struct{}, mostReviews)
	routes := http.NewServeMux()
	for path, judge := range map[string]judge{
		AgenticSessionsPath: sessions{exempt: options.Exempt}.judge,
		NamespacesPath:      namespaces{projects: options.Projects}.judge,
	} {
		routes.HandleFunc("POST "+path, func(w http.ResponseWriter, request *http.Request) {
			select {
			case places <- struct{}{}:
				defer func() { <-places }()
			default:
				http.Error(w, "too many reviews at a time", http.StatusServiceUnavailable)
				reviews.WithLabelValues(path[1:], failed).Inc()
				return
			}
			answer, err := answer(w, request, judge)
			if err != nil {
				klog.FromContext(request.Context()).Info("A review could not be answered", "webhook", path, "reason", err.Error())
			}
			reviews.WithLabelValues(path[1:], answer).Inc()
		})
	}
	return routes
}

// answer reads a review, judges and replies.
func answer(w http.ResponseWriter, request *http.Request, judge judge) (string, error) {
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(http.MaxBytesReader(w, request.Body, largestReview)).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return failed, fmt.Errorf("reading a review: %w", err)
	}
	if review.Request == nil {
		http.Error(w, "the review holds no request", http.StatusBadRequest)
		return failed, errors.New("the review holds no request")
	}
	refusal, err := judge(request.Context(), review.Request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return failed, err
	}
	response := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: refusal == ""}
	said := allowed
	if refusal != "" {
		said = refused
		response.Result = &metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: refusal,
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: response}); err != nil {
		return failed, fmt.Errorf("answering a review: %w", err)
	}
	return said, nil
}
