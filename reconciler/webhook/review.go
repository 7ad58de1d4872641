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

// mostReviews of a webhook are judged at a time, whoever asks: kube-apiserver bears that
// a review fails, the leader would not bear any number of large ones.
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
	routes := http.NewServeMux()
	for path, judge := range map[string]judge{
		AgenticSessionsPath: sessions{exempt: options.Exempt}.judge,
		NamespacesPath:      namespaces{projects: options.Projects}.judge,
	} {
		// What is sent to one of them takes no place from the other.
		hook := &webhook{judge: judge, intake: intake{most: mostIncoming}, places: make(chan struct{}, mostReviews)}
		routes.HandleFunc("POST "+path, func(w http.ResponseWriter, request *http.Request) {
			answer, err := hook.answer(w, request)
			if err != nil && !errors.Is(err, errTooMuch) {
				klog.FromContext(request.Context()).Info("A review could not be answered", "webhook", path, "reason", err.Error())
			}
			reviews.WithLabelValues(path[1:], answer).Inc()
		})
	}
	return routes
}

// webhook answers the reviews of one path.
type webhook struct {
	judge  judge
	intake intake
	places chan struct{}
}

// answer reads a review, judges and replies. Only what has been read takes a place.
func (h *webhook) answer(w http.ResponseWriter, request *http.Request) (string, error) {
	data, release, err := h.intake.read(http.MaxBytesReader(w, request.Body, largestReview))
	defer release()
	if err != nil {
		http.Error(w, err.Error(), codeOf(err))
		return failed, err
	}
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	default:
		http.Error(w, errTooMuch.Error(), codeOf(errTooMuch))
		return failed, errTooMuch
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(data, &review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return failed, fmt.Errorf("decoding a review: %w", err)
	}
	if review.Request == nil {
		http.Error(w, "the review holds no request", http.StatusBadRequest)
		return failed, errors.New("the review holds no request")
	}
	refusal, err := h.judge(request.Context(), review.Request)
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

// codeOf returns the status code that says why a review was not read.
func codeOf(err error) int {
	if errors.Is(err, errTooMuch) {
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}
