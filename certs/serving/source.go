package serving

import (
	"context"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// Source has a server's certificate.
type Source interface {
	dynamiccertificates.CertKeyContentProvider
	// Run keeps the certificate current, until ctx ends. It returns an error only
	// if it can't begin.
	Run(ctx context.Context) error
	// Wait waits until there is a certificate, while Run runs.
	Wait(ctx context.Context) error
	// Published returns nil as soon as kube-apiserver has been told whom to trust,
	// and before that what keeps it from being told. It is nil where telling is
	// somebody else's business.
	Published() error
}

// files is a certificate in files that may be replaced at any time.
type files struct {
	*dynamiccertificates.DynamicCertKeyPairContent
}

var _ Source = files{}

func newFiles(certificateFile, keyFile string) (Source, error) {
	content, err := dynamiccertificates.NewDynamicServingContentFromFiles("serving-cert", certificateFile, keyFile)
	if err != nil {
		return nil, err
	}
	return files{content}, nil
}

// Run implements Source.
func (f files) Run(ctx context.Context) error {
	f.DynamicCertKeyPairContent.Run(ctx, 1)
	return nil
}

// Wait implements Source.
func (files) Wait(context.Context) error { return nil }

// Published implements Source.
func (files) Published() error { return nil }
