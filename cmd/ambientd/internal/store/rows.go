package store

import (
	"database/sql/driver"
	"fmt"
	"time"
)

// Time is a moment that loses its nanoseconds when it is stored: the database
// keeps microseconds and rounds to the nearest.
type Time struct{ time.Time }

// Value returns the microseconds since 1970.
func (t Time) Value() (driver.Value, error) {
	return t.Round(time.Microsecond).UnixMicro(), nil
}

// Scan reads the microseconds since 1970.
func (t *Time) Scan(value any) error {
	microseconds, ok := value.(int64)
	if !ok {
		return fmt.Errorf("a time is stored as %T, not as a number", value)
	}
	t.Time = time.UnixMicro(microseconds).UTC()
	return nil
}

// Metadata holds the columns that all kinds share.
type Metadata struct {
	ID        string
	CreatedAt Time
	UpdatedAt Time
}

// Project is one row of projects.
type Project struct {
	Metadata
	Name        string
	Description *string
	Labels      *string
	Annotations *string
	Status      *string
}

// ProjectSettings is one row of project_settings.
type ProjectSettings struct {
	Metadata
	ProjectID    string
	GroupAccess  *string
	Repositories *string
}

// Session is one row of sessions.
type Session struct {
	Metadata
	Name                 string
	RepoURL              *string
	Prompt               *string
	CreatedByUserID      *string
	AssignedUserID       *string
	WorkflowID           *string
	Repos                *string
	Timeout              *int32
	LLMModel             *string
	LLMTemperature       *float64
	LLMMaxTokens         *int32
	ParentSessionID      *string
	BotAccountName       *string
	ResourceOverrides    *string
	EnvironmentVariables *string
	Labels               *string
	Annotations          *string
	ProjectID            *string
	Phase                *string
	StartTime            *Time
	CompletionTime       *Time
	SDKSessionID         *string
	SDKRestartCount      *int32
	Conditions           *string
	ReconciledRepos      *string
	ReconciledWorkflow   *string
	KubeCRName           *string
	KubeCRUID            *string
	KubeNamespace        *string
	AgentID              *string
}

// column names one column and points at the field of a row that holds its value;
// the pointer serves for reading and for writing.
type column struct {
	name  string
	field any
}

func (m *Metadata) columns() []column {
	return []column{{"id", &m.ID}, {"created_at", &m.CreatedAt}, {"updated_at", &m.UpdatedAt}}
}

func (p *Project) columns() []column {
	return append(p.Metadata.columns(),
		column{"name", &p.Name}, column{"description", &p.Description}, column{"labels", &p.Labels},
		column{"annotations", &p.Annotations}, column{"status", &p.Status})
}

func (p *ProjectSettings) columns() []column {
	return append(p.Metadata.columns(),
		column{"project_id", &p.ProjectID}, column{"group_access", &p.GroupAccess}, column{"repositories", &p.Repositories})
}

func (s *Session) columns() []column {
	return append(s.Metadata.columns(),
		column{"name", &s.Name}, column{"repo_url", &s.RepoURL}, column{"prompt", &s.Prompt},
		column{"created_by_user_id", &s.CreatedByUserID}, column{"assigned_user_id", &s.AssignedUserID},
		column{"workflow_id", &s.WorkflowID}, column{"repos", &s.Repos}, column{"timeout", &s.Timeout},
		column{"llm_model", &s.LLMModel}, column{"llm_temperature", &s.LLMTemperature},
		column{"llm_max_tokens", &s.LLMMaxTokens}, column{"parent_session_id", &s.ParentSessionID},
		column{"bot_account_name", &s.BotAccountName}, column{"resource_overrides", &s.ResourceOverrides},
		column{"environment_variables", &s.EnvironmentVariables}, column{"labels", &s.Labels},
		column{"annotations", &s.Annotations}, column{"project_id", &s.ProjectID}, column{"phase", &s.Phase},
		column{"start_time", &s.StartTime}, column{"completion_time", &s.CompletionTime},
		column{"sdk_session_id", &s.SDKSessionID}, column{"sdk_restart_count", &s.SDKRestartCount},
		column{"conditions", &s.Conditions}, column{"reconciled_repos", &s.ReconciledRepos},
		column{"reconciled_workflow", &s.ReconciledWorkflow}, column{"kube_cr_name", &s.KubeCRName},
		column{"kube_cr_uid", &s.KubeCRUID}, column{"kube_namespace", &s.KubeNamespace},
		column{"agent_id", &s.AgentID})
}
