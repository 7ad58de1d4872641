package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/feed"
	"github.com/ambient-code/ambient-kube/apiserver/journal"
	"github.com/ambient-code/ambient-kube/apiserver/translate"
	"github.com/ambient-code/ambient-kube/apiserver/upstream"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// Options are the settings of all backends.
type Options struct {
	// Client reaches the upstream.
	Client *upstream.Client
	// Translator translates rows.
	Translator *translate.Translator
	// MayWrite returns nil while this process may write upstream, else a status error;
	// nil: it always may.
	MayWrite func() error
	// MaxStaleness is the age of the upstream's last answer above which reads that
	// claim to be current, and writes, are refused.
	MaxStaleness time.Duration
	// ForeignNamespace tells whether a namespace exists that belongs to somebody
	// else; nil: none does. UnassignedNamespace is where its sessions live instead.
	ForeignNamespace    func(name string) bool
	UnassignedNamespace string
	// Owners moves the ownership of fields that the upstream changes; may be nil.
	Owners Mover
	// Repaired is told of each repair of what racing saves undid; may be nil.
	Repaired RepairReporter
	// Metrics receives what the feeds do; may be nil.
	Metrics feed.Metrics
}

// Backends are the backends of all kinds of one upstream.
type Backends struct {
	Sessions *Sessions
	Projects *Projects
	Settings *Settings

	// The journals are empty histories until Lead.
	SessionJournal, ProjectJournal, SettingsJournal *Journal

	office *office
	writes *limiter
}

// New wires the backends of one upstream. Run starts them, as a standby's: they keep
// up with the upstream, and answer nothing until Lead is called.
func New(options Options) (*Backends, error) {
	if options.Client == nil || options.Translator == nil {
		return nil, errors.New("backends need a client and a translator")
	}
	newJournal := func() *Journal { return journal.New[runtime.Object](journal.Options{}) }
	writes := newLimiter(maxInFlight)
	b := &Backends{SessionJournal: newJournal(), ProjectJournal: newJournal(), SettingsJournal: newJournal(), office: newOffice(options.MayWrite), writes: writes}
	locks := newKeyLocks()

	b.Projects = &Projects{kind: newKind[*ambientv1.Project](b.ProjectJournal, "projects", locks, b.office, writes, options), client: options.Client.Projects, translator: options.Translator}
	b.Sessions = &Sessions{kind: newKind[*ambientv1.Session](b.SessionJournal, "sessions", locks, b.office, writes, options), client: options.Client.Sessions, translator: options.Translator, pending: newPendingCreates(), messages: newMessages(), foreign: options.ForeignNamespace, fallback: options.UnassignedNamespace}
	b.Settings = &Settings{
		kind: newKind[*ambientv1.ProjectSettings](b.SettingsJournal, "projectsettings", locks, b.office, writes, options), client: options.Client.ProjectSettings, translator: options.Translator,
		projects: b.Projects, projectRows: map[string]*ambientv1.Project{}, settingsOf: map[string]string{},
	}
	b.Sessions.keeper, b.Projects.keeper = newKeeper[*ambientv1.Session](), newKeeper[*ambientv1.Project]()
	b.Projects.changed = b.Settings.projectChanged
	b.Projects.deleteSessions = b.Sessions.deleteInProject
	b.Projects.sessions = func(id string) int { return len(b.Sessions.InProject(id)) }
	b.Sessions.repairs = newRepairs(options.Repaired, repairing[*ambientv1.Session]{
		singular: "session", excused: columnsIn(&ambientv1.UpdateSessionStatusRequest{}), resend: b.Sessions.resend, deleteAgain: b.Sessions.deleteID,
		annotate: func(row *ambientv1.Session) proto.Message {
			return &ambientv1.UpdateSessionRequest{Id: row.GetMetadata().GetId(), Annotations: row.Annotations}
		},
	})
	b.Projects.repairs = newRepairs(options.Repaired, repairing[*ambientv1.Project]{
		singular: "project", excused: map[string]bool{"status": true}, resend: b.Projects.resend, deleteAgain: b.Projects.deleteAgain,
		annotate: func(row *ambientv1.Project) proto.Message {
			return &ambientv1.UpdateProjectRequest{Id: row.GetMetadata().GetId(), Annotations: row.Annotations}
		},
	})
	b.Settings.repairs = newRepairs(options.Repaired, repairing[*ambientv1.ProjectSettings]{
		singular: "settings", resend: b.Settings.resend, deleteAgain: b.Settings.deleteID,
	})

	feedOptions := func(name string, witness func(context.Context, time.Time) bool) feed.Options {
		return feed.Options{Name: name, MaxStaleness: options.MaxStaleness, Witness: witness, Reopen: options.Client.CredentialsChanged, Metrics: options.Metrics}
	}
	var err error
	if b.Projects.feed, err = feed.New(projectSource(options.Client.Projects), b.Projects, feedOptions("projects", func(ctx context.Context, knownAt time.Time) bool { return b.Sessions.feed.Vouch(ctx, knownAt) })); err != nil {
		return nil, fmt.Errorf("making the feed of projects: %w", err)
	}
	if b.Sessions.feed, err = feed.New(sessionSource(options.Client.Sessions), b.Sessions, feedOptions("sessions", func(ctx context.Context, knownAt time.Time) bool { return b.Projects.feed.Vouch(ctx, knownAt) })); err != nil {
		return nil, fmt.Errorf("making the feed of sessions: %w", err)
	}
	if b.Settings.feed, err = feed.New(settingsSource(options.Client.ProjectSettings), b.Settings, feedOptions("projectsettings", func(ctx context.Context, knownAt time.Time) bool { return b.Projects.feed.Vouch(ctx, knownAt) })); err != nil {
		return nil, fmt.Errorf("making the feed of project settings: %w", err)
	}
	return b, nil
}

func newKind[R message](j *Journal, resource string, locks *keyLocks, office *office, writes *limiter, options Options) kind[R] {
	return kind[R]{index: newIndex[R](j), succession: succession{options.Owners}, resource: v1alpha1.Resource(resource), locks: locks, office: office, writes: writes, maxStaleness: options.MaxStaleness}
}

// Run keeps all kinds equal to the upstream until the context ends.
func (b *Backends) Run(ctx context.Context) error {
	b.office.begin()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Projects.feed.Run(ctx) })
	group.Go(func() error { return b.Sessions.feed.Run(ctx) })
	group.Go(func() error { return b.Sessions.repairForEver(ctx) })
	group.Go(func() error { return b.Sessions.keepForEver(ctx) })
	group.Go(func() error { return b.Sessions.storeForEver(ctx) })
	group.Go(func() error { return b.Projects.repairForEver(ctx) })
	group.Go(func() error { return b.Projects.keepForEver(ctx) })
	group.Go(func() error { return b.Settings.feed.Run(ctx) })
	group.Go(func() error { return b.Settings.repairForEver(ctx) })
	return group.Wait()
}

// Writes returns the number of writes that are under way at the upstream, and of
// those that wait until there are fewer.
func (b *Backends) Writes() (inFlight, waiting int) { return b.writes.load() }

// epochCheck is the pause between two looks at how much of the epoch is left:
// half of its revisions, more than this machine can give out in months.
const epochCheck = time.Minute

// WatchEpoch ends with an error when the epoch's revisions run out, so that the
// process claims another one; it ends without when the context does.
func (b *Backends) WatchEpoch(ctx context.Context) error {
	ticker := time.NewTicker(epochCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for _, j := range []*Journal{b.SessionJournal, b.ProjectJournal, b.SettingsJournal} {
			if j.Exhausted() {
				return errors.New("the epoch's resource versions run out: a new epoch has to be claimed")
			}
		}
	}
}
