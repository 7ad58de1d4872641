// Package doubt lets a person decide what a degraded feed may believe.
//
// A feed that is denied a mass of rows, while nothing vouches for the upstream
// being the same, holds the deletions back until somebody who can tell says so.
// The package says what is held back and how to release it, watches the
// annotation of a Lease for the answer while there is something to answer, and
// takes it off again, so that it cannot act twice. It knows neither rows nor gRPC.
package doubt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/feed"
)

// Annotation of the Lease in which a person names what is to be believed: one or
// more fingerprints, separated by commas.
const Annotation = "ambient.io/believe-empty-upstream"

const (
	// lookPause is the pause between two looks at the feeds, in memory.
	lookPause = time.Second
	// remindPause is after what time a person is told again: events are not kept for
	// ever.
	remindPause = 10 * time.Minute
	// askTimeout bounds one look at the Lease.
	askTimeout = 10 * time.Second
)

// Feed is what the package asks of a feed; *feed.Feed is one.
type Feed interface {
	// Doubt returns what is held back; false while nothing is.
	Doubt() (feed.Doubt, bool)
	// Release believes what has the fingerprint, if it is held back just now.
	Release(fingerprint string) bool
}

// Reporter is told of what people should know.
type Reporter interface {
	// Doubted is told, and told again, that the feed of the kind holds back deletions,
	// and how to release them; command is empty when they cannot be released.
	Doubted(ctx context.Context, kind, reason, command string)
	// Released is told that a person released what the feed of the kind held back.
	Released(ctx context.Context, kind string)
	// Trusted is told that the feed of the kind holds back nothing any more.
	Trusted(ctx context.Context, kind string)
}

// Arbiter asks a person what feeds may believe.
type Arbiter struct {
	// Leases of the namespace, and the name of the Lease that bears the answer.
	Leases          coordinationclient.LeaseInterface
	Namespace, Name string
	// Feeds by the name of their kind.
	Feeds map[string]Feed
	// Reporter is told of changes.
	Reporter Reporter
}

// Run watches the feeds, and the Lease as long as one of them is in doubt, until
// the context ends.
func (a *Arbiter) Run(ctx context.Context) error {
	ticker := time.NewTicker(lookPause)
	defer ticker.Stop()
	told := map[string]message{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if a.look(ctx, told) {
			if err := a.ask(ctx); err != nil && ctx.Err() == nil {
				klog.FromContext(ctx).Info("Could not learn whether a person believes what the upstream denies; trying again", "lease", a.Name, "err", err)
			}
		}
	}
}

// message is what was told of a doubt, and when.
type message struct {
	fingerprint string
	at          time.Time
}

// look reports what is new, and tells whether there is anything to release.
func (a *Arbiter) look(ctx context.Context, told map[string]message) (releasable bool) {
	for kind, f := range a.Feeds {
		doubt, doubting := f.Doubt()
		before, knew := told[kind]
		switch {
		case doubting && (!knew || before.fingerprint != doubt.Fingerprint || time.Since(before.at) >= remindPause):
			told[kind] = message{doubt.Fingerprint, time.Now()}
			command := ""
			if doubt.Fingerprint != "" {
				command = a.Command()
			}
			a.Reporter.Doubted(ctx, kind, doubt.Reason, command)
		case !doubting && knew:
			delete(told, kind)
			a.Reporter.Trusted(ctx, kind)
		}
		releasable = releasable || doubt.Fingerprint != ""
	}
	return releasable
}

// Command returns what a person types to release all that is held back just now;
// empty if there is nothing that can be.
func (a *Arbiter) Command() string {
	var fingerprints []string
	for _, f := range a.Feeds {
		if doubt, _ := f.Doubt(); doubt.Fingerprint != "" {
			fingerprints = append(fingerprints, doubt.Fingerprint)
		}
	}
	if len(fingerprints) == 0 {
		return ""
	}
	slices.Sort(fingerprints)
	return fmt.Sprintf("kubectl annotate lease --namespace=%s %s --overwrite %s=%s", a.Namespace, a.Name, Annotation, strings.Join(fingerprints, ","))
}

// ask reads the annotation. Fingerprints that name what is held back are taken off
// before they act: whatever happens then, they cannot act again. Others stay: they
// may be meant for another process.
func (a *Arbiter) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	lease, err := a.Leases.Get(ctx, a.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading lease %s: %w", a.Name, err)
	}
	kinds := map[string]string{}
	var others []string
	for fingerprint := range strings.SplitSeq(lease.Annotations[Annotation], ",") {
		fingerprint = strings.TrimSpace(fingerprint)
		if kind, found := a.kindOf(fingerprint); found {
			kinds[fingerprint] = kind
		} else if fingerprint != "" {
			others = append(others, fingerprint)
		}
	}
	if len(kinds) == 0 {
		return nil
	}
	if err := a.leave(ctx, lease.ResourceVersion, others); err != nil {
		return err
	}
	for fingerprint, kind := range kinds {
		if a.Feeds[kind].Release(fingerprint) {
			a.Reporter.Released(ctx, kind)
		}
	}
	return nil
}

// kindOf returns the kind whose feed holds back what has the fingerprint.
func (a *Arbiter) kindOf(fingerprint string) (kind string, found bool) {
	if fingerprint == "" {
		return "", false
	}
	for kind, f := range a.Feeds {
		if doubt, _ := f.Doubt(); doubt.Fingerprint == fingerprint {
			return kind, true
		}
	}
	return "", false
}

// leasePatch changes annotations, or removes those that are nil, if the Lease is
// at the version.
type leasePatch struct {
	Metadata struct {
		ResourceVersion string             `json:"resourceVersion"`
		Annotations     map[string]*string `json:"annotations"`
	} `json:"metadata"`
}

// leave sets the annotation to the remaining fingerprints, unless the Lease has
// changed.
func (a *Arbiter) leave(ctx context.Context, resourceVersion string, remaining []string) error {
	var value *string
	if len(remaining) > 0 {
		joined := strings.Join(remaining, ",")
		value = &joined
	}
	if resourceVersion == "" {
		return errors.New("the lease has no resource version to compare with")
	}
	var change leasePatch
	change.Metadata.ResourceVersion = resourceVersion
	change.Metadata.Annotations = map[string]*string{Annotation: value}
	patch, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("encoding a patch: %w", err)
	}
	if _, err := a.Leases.Patch(ctx, a.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("taking annotation %s off lease %s: %w", Annotation, a.Name, err)
	}
	return nil
}
