package main

// gitopsMutants break what GitOps tools read of an object's health, and what they
// expect of a deletion.
func gitopsMutants() []mutant {
	const report = "reconciler/project/report.go"
	return []mutant{
		{
			name: "takes what nobody has looked at for what was asked", file: "apiserver/translate/project.go",
			old: "indexOfType(conditions, v1alpha1.ConditionReady) < 0", new: "indexOfType(conditions, v1alpha1.ConditionReady) < -1",
			test: "TestWhatNobodyHasLookedAtIsNotReady",
		},
		{
			name: "takes a refused session for one on its way", file: "apiserver/translate/ready.go",
			old: "held[at].LastTransitionTime\n\t\treturn c, true", new: "held[at].LastTransitionTime\n\t\treturn c, false",
			test: "TestASessionThatIsRefusedIsStalledUntilItBegins",
		},
		{
			name: "tells of the settings of another cluster's project as its own", file: "apiserver/translate/settings_read.go",
			old: "t.elsewhere(owner) {", new: "owner == \"nobody\" {",
			test: "TestDecision10SettingsOfAProjectOfAnotherClusterSaySo",
		},
		{
			name: "overwrites what another cluster has observed of settings", file: "apiserver/translate/settings_write.go",
			old: "if t.elsewhere(projectedBy(project)) {", new: "if project == nil {",
			test: "TestDecision10SettingsOfAProjectOfAnotherClusterSaySo",
		},
		{
			name: "takes a refused project for one on its way", file: report,
			old: "if verdict == Refused {", new: "if verdict == Refused && reason == \"\" {",
			test: "TestNamespacesOfOthersAreNotUsed",
		},
		{
			name: "keeps a project failed that is no longer refused", file: report,
			old: "meta.RemoveStatusCondition(&conditions, v1alpha1.ConditionStalled)", new: "meta.RemoveStatusCondition(&conditions, reason)",
			test: "TestAProjectThatWasRefusedIsNoLongerStalled",
		},
		{
			name: "observes no change of a session that has ended", file: "reconciler/status/desired.go",
			old: "(seen || from.Phase.IsTerminal() && Unseen(session))", new: "seen",
			tests: "hack/e2e/gitops", test: "TestToolsThatKeepAClusterAsGitSays",
		},
		{
			name: "observes no change of a session that has ended and lost its AgenticSession", file: "reconciler/session/pass.go",
			old: " && !(p.resource == nil && status.Unseen(p.session))", new: "",
			test: "TestAChangeOfWhatHasEndedIsObserved",
		},
		{
			name: "shows deleted settings again when their project goes", file: "apiserver/translate/settings_read.go",
			old: "return project == nil || reserved.Deleted", new: "return reserved.Deleted",
			tests: "hack/e2e/gitops", test: "TestToolsThatKeepAClusterAsGitSays",
		},
		{
			name: "writes what is applied a second time", file: "apiserver/storage/write.go",
			old: "\t\tif unchanged {\n", new: "\t\tif unchanged && false {\n",
			test: "TestAnUpdateThatChangesNothingWritesNothingAndKeepsTheRevision",
		},
	}
}
