package session

import (
	"fmt"
	"time"

	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/registry/internal/resource"
)

func newTable(now func() time.Time) rest.TableConvertor {
	return resource.NewTable(v1alpha1.Resource("sessions"), []resource.Column[v1alpha1.Session]{
		{Name: "Phase", Description: "Where the session stands.", Cell: func(s *v1alpha1.Session) string { return string(s.Status.Phase) }},
		{Name: "Model", Description: "Language model of the session.", Cell: model},
		{Name: "Project", Description: "Upstream id of the session's project.", Cell: func(s *v1alpha1.Session) string { return s.Status.ProjectID }},
		resource.Age[v1alpha1.Session](now),
		{Name: "Display Name", Priority: resource.Wide, Description: "Human-readable name.", Cell: func(s *v1alpha1.Session) string { return s.Spec.DisplayName }},
		{Name: "Repo", Priority: resource.Wide, Description: "First repository, and how many more.", Cell: repository},
		{Name: "CR", Priority: resource.Wide, Description: "Name of the AgenticSession that runs the session.", Cell: agenticSession},
		{Name: "ID", Priority: resource.Wide, Description: "Exact upstream id.", Cell: func(s *v1alpha1.Session) string { return s.Status.SessionID }},
	})
}

func model(session *v1alpha1.Session) string {
	if session.Spec.LLM == nil {
		return ""
	}
	return session.Spec.LLM.Model
}

func repository(session *v1alpha1.Session) string {
	switch repositories := session.Spec.Repositories; len(repositories) {
	case 0:
		return session.Spec.RepositoryURL
	case 1:
		return repositories[0].URL
	default:
		return fmt.Sprintf("%s + %d more", repositories[0].URL, len(repositories)-1)
	}
}

func agenticSession(session *v1alpha1.Session) string {
	if session.Status.AgenticSession == nil {
		return ""
	}
	return session.Status.AgenticSession.Name
}
