package standin

import (
	"fmt"
	"path"
	"strings"
)

const defaultBranch = "main"

// reconcileSpec brings the status of repositories and workflow in line with the
// spec, at once and always with success: where the operator asks the runner,
// there is none here to ask.
func (p *pass) reconcileSpec() {
	p.reconcileRepositories()
	p.reconcileWorkflow()
}

func (p *pass) reconcileRepositories() {
	if len(p.session.Spec.Repos) == 0 {
		p.status.ReconciledRepos = nil
		p.condition(ConditionReposReconciled, "True", "NoRepos", "No repositories defined")
		return
	}
	wanted := distinctRepositories(p.session.Spec.Repos)
	if sameRepositories(wanted, p.status.ReconciledRepos) {
		return
	}
	reconciled := make([]ReconciledRepo, 0, len(wanted))
	for _, repository := range wanted {
		reconciled = append(reconciled, ReconciledRepo{
			URL:      repository.URL,
			Name:     repositoryName(repository.URL),
			Branch:   repository.Branch,
			Status:   "Ready",
			ClonedAt: &p.stamp,
		})
	}
	p.status.ReconciledRepos = reconciled
	p.condition(ConditionReposReconciled, "True", "Reconciled", fmt.Sprintf("Reconciled %d repos", len(reconciled)))
}

// distinctRepositories keeps one entry for each URL, with the branch named
// last: there is only one clone.
func distinctRepositories(repositories []Repository) []Repository {
	var distinct []Repository
	index := map[string]int{}
	for _, repository := range repositories {
		if strings.TrimSpace(repository.URL) == "" {
			continue
		}
		if strings.TrimSpace(repository.Branch) == "" {
			repository.Branch = defaultBranch
		}
		if at, known := index[repository.URL]; known {
			distinct[at] = repository
			continue
		}
		index[repository.URL] = len(distinct)
		distinct = append(distinct, repository)
	}
	return distinct
}

func sameRepositories(wanted []Repository, reconciled []ReconciledRepo) bool {
	if len(wanted) != len(reconciled) {
		return false
	}
	for i := range wanted {
		if wanted[i].URL != reconciled[i].URL || wanted[i].Branch != reconciled[i].Branch {
			return false
		}
	}
	return true
}

func repositoryName(url string) string {
	return strings.TrimSuffix(path.Base(strings.TrimRight(url, "/")), ".git")
}

func (p *pass) reconcileWorkflow() {
	workflow := p.session.Spec.ActiveWorkflow
	if workflow == nil || *workflow == (Workflow{}) {
		p.status.ReconciledWorkflow = nil
		p.condition(ConditionWorkflowReconciled, "True", "NotConfigured", "No workflow selected")
		return
	}
	if strings.TrimSpace(workflow.GitURL) == "" {
		return
	}
	branch := workflow.Branch
	if strings.TrimSpace(branch) == "" {
		branch = defaultBranch
	}
	if current := p.status.ReconciledWorkflow; current != nil &&
		current.GitURL == workflow.GitURL && current.Branch == branch && current.Path == workflow.Path {
		return
	}
	p.status.ReconciledWorkflow = &ReconciledWorkflow{
		GitURL:    workflow.GitURL,
		Branch:    branch,
		Path:      workflow.Path,
		Status:    "Active",
		AppliedAt: &p.stamp,
	}
	p.condition(ConditionWorkflowReconciled, "True", "Reconciled", fmt.Sprintf("Switched to workflow %s@%s", workflow.GitURL, branch))
}
