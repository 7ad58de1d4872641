package main

// clusterMutants break what the cluster around us relies on: its quotas, finalizers
// and rules for TLS, what a person is shown, and what outlives the end of a process.
func clusterMutants() []mutant {
	const api, flow = "hack/e2e/api", "hack/e2e/flow"
	return []mutant{
		{
			name: "counts nothing for a quota", file: "apiserver/config.go",
			old:   "resourcequota.Register(o.Admission.Plugins)",
			new:   "resourcequota.Register(o.Admission.Plugins)\n\to.Admission.DefaultOffPlugins.Insert(resourcequota.PluginName)",
			tests: api, test: "TestDecision23AQuotaBoundsSessions",
		},
		{
			name: "keeps no finalizers", file: "apiserver/translate/metadata.go",
			old: "Finalizers:                 meta.Finalizers,", new: "Finalizers:                 meta.Finalizers[:0],",
			tests: api, test: "TestFinalizersHoldADeletionBack",
		},
		{
			name: "deletes sessions that finalizers hold with their project", file: "apiserver/backend/sessions.go",
			old: "held, finalizers := s.heldInProject(projectID); len(finalizers) > 0 {", new: "held, finalizers := s.heldInProject(projectID); len(finalizers) > 9 {",
			tests: api, test: "TestAProjectWithSessionsStays",
		},
		{
			name: "takes settings whose creation was not answered for deleted ones", file: "apiserver/backend/settings.go",
			old: "if id, _, _ := s.rows(projectID); id != \"\" {\n\t\treturn apierrors.NewAlreadyExists", new: "if id, _, _ := s.rows(projectID); id == \"-\" {\n\t\treturn apierrors.NewAlreadyExists",
			test: "TestDecision5SettingsWhoseCreationWasNotAnsweredExist",
		},
		{
			name: "revokes nothing when the settings are gone", file: "reconciler/settings/removed.go",
			old: "failed := c.revoke(ctx, settings, held, nothing)", new: "var failed failures",
			test: "TestSettingsThatAreGoneRevokeEverything",
		},
		{
			name: "takes settings that were not seen for deleted ones", file: "reconciler/settings/removed.go",
			old: "if !c.proven(settings, namespace, noProject) {", new: "if c.proven(settings, namespace, noProject) {",
			test: "TestSettingsThatAreGoneRevokeEverything",
		},
		{
			name: "forgets the second kind that is held back when the first can't be shown", file: "reconciler/guard.go",
			old: "if _, newer := g.pending[kind]; !newer {", new: "if _, newer := g.pending[kind]; newer {",
			test: "TestEveryKindThatIsHeldBackIsShownInTheEnd",
		},
		{
			name: "forgets over its end that it sent a request", file: "reconciler/session/act.go",
			old: "agenticsession.HandledAnnotation:      text(string(mark)),", new: "agenticsession.HandledAnnotation:      text(string(mark)[:0]),",
			tests: flow, test: "TestKilledWhileARequestIsUnderWay",
		},
		{
			name: "takes what it was killed over for history", file: "reconciler/baseline/baseline.go",
			old: "created, err := b.kube.CoreV1().ConfigMaps(b.namespace).Create(ctx, record, options)", new: "created, err := record, error(nil)\n\t_ = options",
			tests: flow, test: "TestKillsInTheMiddle",
		},
		{
			name: "makes an AgenticSession again that went while the reconciler was away", file: "reconciler/phase/rules.go",
			old: "return Decision{Lose, ReasonLost}", new: "return Decision{Action: Create}",
			tests: flow, test: "TestANewReconcilerRunsNothingAgain",
		},
		{
			name: "serves its webhooks to whoever speaks an old TLS", file: "reconciler/webhook/server.go",
			old: "MinVersion: tls.VersionTLS12", new: "MinVersion: tls.VersionTLS10",
			tests: flow, test: "TestOldTLSIsRefused",
		},
		{
			name: "tells of no feed", file: "statuspage/page.go",
			old: "range p.samples[feed+\"rows\"] {", new: "range p.samples[feed+\"row\"] {",
			tests: flow, test: "TestOneScreenTellsHowItIs",
		},
	}
}
