package main

// reconcilerMutants break the projection into the cluster and back.
func reconcilerMutants() []mutant {
	return append(sessionMutants(), projectMutants()...)
}

func sessionMutants() []mutant {
	const rules, table, session = "reconciler/phase/rules.go", "reconciler/phase/table.go", "reconciler/session/"
	return []mutant{
		{
			name: "lets a lost name be lost", file: session + "pass.go",
			old: "restored, err := p.restoreName(ctx); restored || err != nil", new: "restored, err := false, error(nil); restored || err != nil",
			test: "TestDecision13ALostNameIsRestoredFromTheAgenticSession",
		},
		{
			name: "asks for a name that somebody wrote on an AgenticSession", file: "reconciler/agenticsession/owned.go",
			old: "; !ours {", new: "; !ours && annotations == nil {", tests: "reconciler/session",
			test: "TestDecision13ANameEditedOnTheAgenticSessionIsHealed",
		},
		{
			name: "asks for a name that another session has", file: session + "restore.go",
			old: "found && ok && KeyOfSession(session) != p.key", new: "found && ok && KeyOfSession(session) == p.key",
			test: "TestDecision13ANameThatCannotBeRestoredIsGivenUp",
		},
		{
			name: "sends a start request twice", file: rules,
			old: "case sent != nil && sent.From == in.Resource.State:\n\t\treturn Decision{Action: Keep}", new: "case sent != nil && sent.From == in.Resource.State:\n\t\treturn Decision{Action: SendStart}",
			test: "TestDecision19StartRequests",
		},
		{
			name: "sends a stop request twice", file: rules,
			old: "if sent == nil {", new: "if sent == nil || in.Resource.Desired == v1alpha1.SessionStopped {",
			test: "TestDecision19StopRequests",
		},
		{
			name: "sends a request without marking it", file: session + "act.go",
			old: "agenticsession.HandledAnnotation:      text(string(mark)),", new: "agenticsession.HandledAnnotation:      text(string(mark)[:0]),",
			test: "TestNothingIsLostOrRunTwiceWhateverHappens",
		},
		{
			name: "starts again before the end was reported", file: rules,
			old: "case !Acknowledged(in):", new: "case in.Resource == nil:",
			test: "TestDecision19StartRequests",
		},
		{
			name: "lets the run that ended undo its end", file: rules,
			old: "if in.Start == \"\" || state.StartTime != in.Start {", new: "if in.Start != \"nothing\" {",
			test: "TestAnEndIsNotUndoneByTheRunThatItEnded",
		},
		{
			name: "makes a lost AgenticSession again, and sends its prompt again", file: rules,
			old: "case in.Recorded:\n\t\treturn lose(in)", new: "case in.Recorded && in.LossNoted:\n\t\treturn lose(in)",
			test: "TestWithoutAnAgenticSession",
		},
		{
			name: "reports Pending and Stopping", file: table,
			old: "\"\":                        {unbegun, keep, keep, report, report, keep, report, report, report},", new: "\"\":                        {unbegun, keep, report, report, report, report, report, report, report},",
			test: "TestEveryPairOfPhases",
		},
		{
			name: "reports a phase that only a newer operator knows", file: table,
			old: "return keep(in)\n", new: "return report(in)\n",
			test: "TestAPhaseThatWeDoNotKnowNeverGoesUp",
		},
		{
			name: "acts on a cache that lags behind", file: session + "confirm.go",
			old: "case phase.Create, phase.Lose, phase.Finish, phase.NoteLoss:\n\t\treturn true", new: "case phase.Create, phase.Lose, phase.Finish, phase.NoteLoss:\n\t\treturn false",
			test: "TestAStaleCacheDoesNotMakeAnythingTwice",
		},
		{
			name: "lets an older word of the operator overwrite a request", file: session + "confirm.go",
			old: "return upstream != p.status.Phase && (phase.IsRequest(upstream) || upstream.IsTerminal())", new: "return upstream != p.status.Phase && upstream == \"\"",
			test: "TestAStaleAgenticSessionDoesNotOverwriteARequest",
		},
		{
			name: "brings back with a change what is gone", file: session + "act.go",
			old: "change.SetUID(p.resource.GetUID())", new: "change.SetUID(\"\")",
			test: "TestAChangeDoesNotBringBackWhatIsGone",
		},
		{
			name: "asks for another name than the upstream assigned", file: "reconciler/status/desired.go",
			old: "assigned != nil && assigned.Name != \"\"", new: "assigned != nil && assigned.Name == \"\"", tests: "reconciler/session",
			test: "TestObjectsOfOthersAreNeitherTakenNorRemoved",
		},
		{
			name: "takes a session that is shown elsewhere for deleted", file: session + "removed.go",
			old: "case home(&sessions[i]) == key:", new: "case false:",
			test: "TestASessionThatIsOnItsWayOutsideKeepsItsAgenticSession",
		},
		{
			name: "counts a session that is shown elsewhere as absent", file: session + "removed.go",
			old: " || len(displaced) > 0 {", new: " || len(displaced) < 0 {",
			test: "TestASessionThatIsShownOutsideKeepsItsAgenticSession",
		},
		{
			name: "ends a session that is shown elsewhere while it runs", file: session + "look.go",
			old: "p.away = len(left) > 0; p.away", new: "p.away = len(left) < 0; p.away",
			test: "TestASessionThatIsShownOutsideKeepsItsAgenticSession",
		},
		{
			name: "writes to another cluster's session that is shown elsewhere", file: session + "controller.go",
			old: "return session != nil && home(session) != key &&", new: "return session == nil && home(session) != key &&",
			test: "TestDecision10NothingIsDoneForAForeignSessionThatIsShownOutside",
		},
		{
			name: "tells nobody that the cluster refuses an AgenticSession", file: session + "pass.go",
			old: "\tif p.refused != nil {\n\t\tchange.Projection = p.refusal()\n\t}\n", new: "",
			test: "TestWhatTheClusterRefusesIsToldAndTriedAgain",
		},
		{
			name: "forgets a loss when the cluster refuses", file: session + "refused.go",
			old: "return p.without(v1alpha1.ReasonRefused, message)", new: "return not(v1alpha1.ReasonRefused, message)",
			test: "TestALossStaysNotedWhileTheClusterRefuses",
		},
		{
			name: "shows a person every step of the way back", file: "reconciler/brake/brake.go",
			old: "now.Sub(b.looked) < b.options.Settle {\n\t\treturn Set{}, false", new: "now.Sub(b.looked) < 0 {\n\t\treturn Set{}, false",
			test: "TestAPersonIsNotShownEveryStepOfTheWayBack",
		},
		{
			name: "takes an unlabelled AgenticSession for lost", file: session + "confirm.go",
			old: "if resource.GetUID() == recorded.UID {", new: "if resource.GetUID() == \"\" {",
			test: "TestAnUnlabelledAgenticSessionIsNotLost",
		},
		{
			name: "removes without asking whether the Session is gone", file: session + "removed.go",
			old: "for i := range sessions {", new: "for i := range sessions[:0] {",
			test: "TestASessionThatIsThereKeepsItsAgenticSession",
		},
		{
			name: "removes AgenticSessions of others", file: session + "removed.go",
			old: "return resource.GetLabels()[agenticsession.ManagedByLabel] != agenticsession.FieldManager", new: "return resource.GetName() == \"\"",
			test: "TestWhatSomebodyElseManagesIsNotRemoved",
		},
		{
			name: "takes an AgenticSession of somebody else over", file: session + "act.go",
			old: "created, err := p.Client.ApplyResource(ctx, desired.Object, false)", new: "created, err := p.Client.ApplyResource(ctx, desired.Object, true)",
			test: "TestObjectsOfOthersAreNeitherTakenNorRemoved",
		},
		{
			name: "asks the brake for nothing", file: session + "removed.go",
			old: "if allowed, again := c.Brake.Absent(key.String()); !allowed {", new: "if allowed, again := c.Brake.Absent(key.String()); !allowed && again < 0 {",
			test: "TestWithoutProofTheBrakeDecides",
		},
		{
			name: "writes a status that is there already", file: session + "pass.go",
			old: "if !status.Equal(p.session.Status, desired) {", new: "if !status.Equal(p.session.Status, desired) || p.resource != nil {",
			test: "TestTheWholeStatusGoesUpAndNothingIsWrittenTwice",
		},
		{
			name: "writes a status over a version that it did not read, even after a deletion", file: "reconciler/status/apply.go",
			old: "\t\tWithUID(session.UID).\n\t\tWithResourceVersion(session.ResourceVersion).\n", new: "",
			test: "TestAStatusIsMeantForTheObjectThatWasRead",
		},
		{
			name: "writes the time of each activity", file: session + "pass.go",
			old: "return max(0, status.ActivityInterval-p.Now().Sub(written))", new: "return max(0, 0*p.Now().Sub(written))",
			test: "TestTheTimeOfTheLastActivityIsWrittenOnceAMinute",
		},
		{
			name: "heals without an event that says so", file: session + "act.go",
			old: "healed := p.remembers(desired.Object)", new: "healed := p.remembers(desired.Object) && p.resource == nil",
			test: "TestEditsByHandAreHealedWithAnEvent",
		},
		{
			name: "copies keys that drive the operator", file: "reconciler/agenticsession/filter.go",
			old: "if strings.HasPrefix(key, prefix) {", new: "if strings.HasPrefix(key, prefix) && false {",
			test: "TestDecision21NoKeysThatDriveOthersAreCopied",
		},
		{
			name: "writes each change of a burst", file: "reconciler/status/coalesce.go",
			old: "due = c.now().Add(c.window)", new: "due = c.now()",
			test: "TestChangesWithinTheWindowAreOneWrite",
		},
		{
			name: "gives a key up after a failure", file: "reconciler/queue/queue.go",
			old: "\tq.items.AddRateLimited(key)\n}", new: "}",
			test: "TestFailuresAreRetriedUntilTheyEnd",
		},
	}
}

func projectMutants() []mutant {
	const brake, baseline = "reconciler/brake/brake.go", "reconciler/baseline/baseline.go"
	const project, settings = "reconciler/project/", "reconciler/settings/"
	return []mutant{
		{
			name: "projects what another cluster projects", file: project + "claim.go",
			old: "return project.Status.Cluster == \"\"", new: "return cluster != \"\"",
			test: "TestDecision10OneClusterProjectsAProject",
		},
		{
			name: "begins a project whose claim is not kept", file: project + "claim.go",
			old: "if !going {", new: "if !going && project == nil {",
			test: "TestDecision10AClaimThatIsNotKept",
		},
		{
			name: "overwrites malformed annotations with a claim", file: "apiserver/translate/annotations_write.go",
			old: "r.Namespace, r.ProjectedBy = nil, 0, \"\", \"\"", new: "r.Namespace = nil, 0, \"\"",
			test: "TestDecision10AClaimOverwritesNothingMalformed",
		},
		{
			name: "works on the sessions of another cluster's project", file: "reconciler/session/controller.go",
			old: "if c.Gate.Obstacle(key.Namespace).Foreign {", new: "if c.Gate.Obstacle(key.Namespace).Foreign && key.ID == \"\" {",
			test: "TestDecision10NothingIsDoneForTheSessionsOfAnotherClustersProject",
		},
		{
			name: "revokes what another cluster's project grants", file: settings + "controller.go",
			old: "if obstacle.Foreign {", new: "if obstacle.Foreign && namespace == \"\" {",
			test: "TestDecision10NothingIsGrantedOrRevokedForAnotherClustersProject",
		},
		{
			name: "overwrites what another cluster has observed of its project", file: "apiserver/translate/project.go",
			old: "t.elsewhere(r.ProjectedBy) {\n\t\t\t\treturn", new: "r.ProjectedBy == \"\" {\n\t\t\t\treturn",
			test: "TestDecision10TheStatusOfAProjectOfAnotherClusterIsKept",
		},
		{
			name: "drops the brake", file: brake,
			old: "if !b.tripped && !b.exceeds(now) {", new: "if !b.tripped {",
			test: "TestDecision22HowManyPassUnasked",
		},
		{
			name: "forgets what the brake let pass before", file: brake,
			old: "count := len(b.suspects) + len(b.released)", new: "count := len(b.suspects)",
			test: "TestRemovalsAddUpWithinTheWindow",
		},
		{
			name: "removes another set than the one that a person was shown", file: brake,
			old: "|| set.Hash() != hash {", new: "|| hash == \"\" {",
			test: "TestDecision22APersonLetsGoExactlyWhatWasShown",
		},
		{
			name: "takes an absence for a received deletion", file: "reconciler/informers.go",
			old: "object, proof = unknown.Obj, false", new: "object = unknown.Obj",
			test: "TestADeletionIsProofOnlyIfItWasReceived",
		},
		{
			name: "runs history", file: baseline,
			old: "old := created.Before(b.created) ||", new: "old := false && created.Before(b.created) ||",
			test: "TestWhatWasThereBeforeIsNotStarted",
		},
		{
			name: "keeps no record of history", file: baseline,
			old: "created, err := b.kube.CoreV1().ConfigMaps(b.namespace).Create(ctx, record, options)", new: "created, err := record, error(nil)\n\t_ = options",
			test: "TestWhatWasThereBeforeIsNotStarted",
		},
		{
			name: "makes a new record where the first was lost", file: baseline,
			old: "if projectedBefore {", new: "if projectedBefore && b.policy == OnRequest {",
			test: "TestALostRecordStartsNothing",
		},
		{
			name: "uses the namespaces of others", file: project + "namespace.go",
			old: "return namespace.GetAnnotations()[v1alpha1.AdoptAnnotation] == \"true\"", new: "return namespace.GetName() != \"\"",
			test: "TestNamespacesOfOthersAreNotUsed",
		},
		{
			name: "projects into reserved namespaces", file: project + "namespace.go",
			old: "if strings.HasPrefix(name, prefix) {", new: "if strings.HasPrefix(name, prefix) && false {",
			test: "TestNamespacesOfOthersAreNotUsed",
		},
		{
			name: "makes no runner secret", file: project + "controller.go",
			old: "if c.Gate.hasSecret(namespace) {", new: "if !c.Gate.hasSecret(namespace) {",
			test: "TestAProjectGetsItsNamespaceAndItsSecret",
		},
		{
			name: "deletes a namespace that still holds sessions", file: project + "leftover.go",
			old: "\tif occupied {\n", new: "\tif occupied && false {\n",
			test: "TestWhatBecomesOfTheNamespaceOfADeletedProject",
		},
		{
			name: "deletes a namespace that somebody lent", file: project + "leftover.go",
			old: "\tif l.Policy != Delete || adopted(namespace) {\n\t\tl.present(id)\n\t\treturn 0, nil\n\t}\n\toccupied", new: "\tif l.Policy != Delete {\n\t\tl.present(id)\n\t\treturn 0, nil\n\t}\n\toccupied",
			test: "TestANamespaceIsAdoptedWhenToldTo",
		},
		{
			name: "makes any text the name of a ClusterRole", file: settings + "binding.go",
			old: "case !slices.Contains(roles, given.Role):", new: "case !slices.Contains(roles, given.Role) && given.Role == \"\":",
			test: "TestOnlyTheThreeRolesAreGiven",
		},
		{
			name: "revokes nothing", file: settings + "access.go",
			old: "if stays(binding) {", new: "if stays(binding) || settings != nil {",
			test: "TestAccessIsGrantedChangedAndRevoked",
		},
		{
			name: "grants access in namespaces of others", file: settings + "controller.go",
			old: "if obstacle.Reason != \"\" {", new: "if obstacle.Reason != \"\" && namespace == \"\" {",
			test: "TestNothingIsGrantedInANamespaceThatIsNotTheProjects",
		},
		{
			name: "works on after the lease was lost", file: "reconciler/leader.go",
			old: "\tstop(errLeadLost)\n", new: "",
			test: "TestALostLeaseEndsTheWork",
		},
		{
			name: "waits for the end of requests that hang before it stops working", file: "reconciler/leader.go",
			old: "\tcase <-lock.lost:\n", new: "",
			test: "TestALeaseWhoseRenewalHangsIsLostInTime",
		},
		{
			name: "releases a lease that another holds by now", file: "reconciler/lock.go",
			old: "if l.isLost() {", new: "if l.isLost() && record.HolderIdentity != \"\" {",
			test: "TestALeaseWhoseRenewalHangsIsLostInTime",
		},
	}
}
