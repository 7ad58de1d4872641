package main

// backendMutants break how rows are held, written and repaired.
func backendMutants() []mutant {
	const repair, backend = "apiserver/repair/repair.go", "apiserver/backend/"
	return []mutant{
		{
			name: "tells traces what is written", file: "apiserver/upstream/traces.go",
			old: "attribute.String(\"rpc.method\", name),", new: "attribute.String(\"rpc.method\", name+request.(interface{ String() string }).String()),",
			tests: "hack/e2e/flow", test: "TestSecretsStayWhereTheyBelong",
		},
		{
			name: "keeps a connection to a dead node", file: "apiserver/upstream/client.go",
			old: "keepalive.ClientParameters{Time: pingPause, Timeout: deadAfter}", new: "keepalive.ClientParameters{Time: pingPause, Timeout: 100 * deadAfter}",
			tests: "apiserver/upstream", test: "TestAConnectionToADeadNodeIsGivenUp",
		},
		{
			name: "has reads hang with the upstream", file: "apiserver/storage/read.go",
			old: "context.WithTimeout(ctx, readPatience)", new: "context.WithTimeout(ctx, 3600*readPatience)",
			test: "TestAReadWaitsForTheUpstreamForASecond",
		},
		{
			name: "blames the upstream for callers that wait for less than it may take", file: "apiserver/upstream/guard.go",
			old: "|| !patient && status.Code(err)", new: "|| !patient && false && status.Code(err)",
			test: "TestGuardBlamesNobodyForCallsThatAreGivenLessTime",
		},
		{
			name: "begins a trace of its own for each operation", file: "apiserver/storage/traces.go",
			old: "ctx, span := tracing.Start(ctx,", new: "ctx, span := tracing.Start(context.WithoutCancel(context.Background()),",
			tests: "hack/e2e/flow", test: "TestARequestIsOneTrace",
		},
		{
			name: "keeps a wiped record in memory only", file: "apiserver/backend/keeper.go",
			old: "\tk.queue.AddRateLimited(id)\n}", new: "}",
			test: "TestARecordThatSomebodyWipedIsWrittenAgain",
		},
		{
			name: "competes with somebody who wipes a record again and again", file: "apiserver/backend/keeper.go",
			old: "\tk.queue.AddRateLimited(id)\n}", new: "\tk.queue.AddAfter(id, keepAfter)\n}",
			test: "TestWithSomebodyWhoInsistsNobodyCompetes",
		},
		{
			name: "takes what it carried on for what the upstream holds", file: "apiserver/backend/sessions.go",
			old: "s.inspect(id, asRead, found)", new: "asRead = row\n\ts.inspect(id, asRead, found)",
			test: "TestDecision7AWriteThatARacingSaveUndidIsMadeAgain",
		},
		{
			name: "forgets that the upstream lost the record when it writes", file: "apiserver/backend/keeper.go",
			old: "if row, lost := k.keeper.withoutRecord(id); lost {\n\t\treturn row, true", new: "if row, lost := k.keeper.withoutRecord(id); lost && id == \"\" {\n\t\treturn row, true",
			test: "TestDecision7AWriteBesideAWipedRecordIsMadeAgain",
		},
		{
			name: "gives names back to whoever asks", file: "apiserver/registry/session/strategy.go",
			old: "validation.ValidateSessionUpdate(session, previous.(*v1alpha1.Session)), validation.RefuseRestoredName(session)...)", new: "validation.ValidateSessionUpdate(session, previous.(*v1alpha1.Session)))",
			test: "TestDecision13NamesAreGivenBackByTheStatusOnly",
		},
		{
			name: "gives a session that has a name another one", file: "apiserver/translate/session_write.go",
			old: `reserved.Name == "" && isLabel(name)`, new: "isLabel(name)",
			test: "TestDecision13ALostNameIsGivenBack",
		},
		{
			name: "repairs no lost write", file: repair,
			old: "if changed == 0 || back != changed {", new: "if true {",
			test: "TestWhatCountsAsLost",
		},
		{
			name: "undoes somebody's decision", file: repair,
			old: "\t\t\treturn true\n\t\t}\n\t}\n\treturn false\n}\n\n// same tells", new: "\t\t\treturn true\n\t\t}\n\t}\n\treturn true\n}\n\n// same tells",
			test: "TestWhatCountsAsLost",
		},
		{
			name: "repairs the same loss again and again", file: repair,
			old: "m.writes[id] = slices.Delete(remembered, i, i+1)", new: "_ = slices.Index([]int{i}, i)",
			test: "TestALostWriteIsRepairedOnceAndInTime",
		},
		{
			name: "repairs a loss after hours", file: repair,
			old: "if m.now().Sub(write.at) > writeWindow || !Undone(write, row) {", new: "if !Undone(write, row) {",
			test: "TestALostWriteIsRepairedOnceAndInTime",
		},
		{
			name: "puts back a write that a later one of ours replaced", file: repair,
			old: "common = field.Name() != \"id\" && twin != nil && other.Has(twin)", new: "common = field.Name() == \"id\" && twin == nil",
			test: "TestOurOwnLaterWriteIsOurLastWord",
		},
		{
			name: "takes a later write of its own for a racing save", file: repair,
			old: "if !m.overwrittenLocked(id, lost.Request) && Undone(lost, row) {", new: "if Undone(lost, row) {",
			tests: "apiserver/backend", test: "TestDecision7OurOwnLaterWriteIsNoRacingSave",
		},
		{
			name: "deletes revived rows without a limit", file: repair,
			old: "if len(m.revivals) >= deletesPerMinute {", new: "if false {",
			test: "TestAtMostTenRevivedRowsAMinuteAreDeletedAgain",
		},
		{
			name: "deletes a row that is another one by now", file: repair,
			old: "|| !same(gone.row, row, excused) {", new: "|| gone.row == row {",
			test: "TestWhichRevivedRowsAreDeletedAgain",
		},
		{
			name: "lets the writers of one key in together", file: backend + "locks.go",
			old: "token: make(chan struct{}, 1)", new: "token: make(chan struct{}, 9)",
			test: "TestWritersOfOneKeyWaitAndOthersDoNot",
		},
		{
			name: "lets status writes wait behind all others", file: backend + "limiter.go",
			old: "[]*list.List{&l.urgent, &l.regular}", new: "[]*list.List{&l.regular, &l.urgent}",
			test: "TestUrgentWritesGoFirstWhenASlotIsFree",
		},
		{
			name: "loses the slot of a writer that gives up", file: backend + "limiter.go",
			old: "\t\tcase <-granted:\n\t\t\tl.handOver()\n", new: "\t\tcase <-granted:\n",
			test: "TestASlotHandedToAWaiterThatGivesUpIsNotLost",
		},
		{
			name: "gives a contested name to the newest", file: backend + "claims.go",
			old: "return len(who) > 0 && who[0].id == id", new: "return len(who) > 0 && who[len(who)-1].id == id",
			test: "TestTheOldestClaimantBearsTheName",
		},
		{
			name: "creates again while an earlier outcome is unknown", file: backend + "pending.go",
			old: "if found && !listed.After(since) {", new: "if false && found && !listed.After(since) {",
			test: "TestDecision5ANameStaysReservedUntilAListingTells",
		},
		{
			name: "has clients try again under another generated name", file: backend + "pending.go",
			old: "told.Details.RetryAfterSeconds = 0", new: "told.Details.RetryAfterSeconds = retryAfterSeconds",
			test: "TestDecision5AGeneratedNameIsNotTriedAgainWhileTheOutcomeIsUnknown",
		},
		{
			name: "deletes a project under its sessions when its last finalizer goes", file: backend + "projects.go",
			old: "\tif err := p.MayDelete(project); err != nil {\n\t\treturn err\n\t}\n\tid :=", new: "\tid :=",
			test: "TestAProjectIsNotDeletedUnderItsSessions",
		},
		{
			name: "leaves sessions behind that came while a project's others were deleted", file: backend + "projects.go",
			old: "\tif p.sessions(id) > 0 {\n\t\treturn apierrors", new: "\tif p.sessions(id) > 99 {\n\t\treturn apierrors",
			test: "TestAProjectIsNotDeletedUnderItsSessions",
		},
		{
			name: "creates sessions in a project that is being deleted", file: "apiserver/policy.go",
			old: "case project.DeletionTimestamp != nil:", new: "case project.DeletionTimestamp != nil && kind == \"\":",
			test: "TestNothingIsCreatedInAProjectThatIsBeingDeleted",
		},
		{
			name: "lets writes wait for as long as the upstream is saturated", file: backend + "kind.go",
			old: "context.WithTimeout(ctx, slotPatience)", new: "context.WithTimeout(ctx, 3600*slotPatience)",
			test: "TestWritesAreRefusedInTimeWhileTheUpstreamIsSaturated",
		},
		{
			name: "holds other writes up while it waits for a listing", file: backend + "settings.go",
			old: "taken = status.Code(err) == codes.AlreadyExists", new: "if status.Code(err) == codes.AlreadyExists {\n\t\t\treturn s.taken(ctx, projectID)\n\t\t}",
			test: "TestWhoeverAwaitsAListingHoldsNothing",
		},
		{
			name: "undoes no lost write", file: backend + "repairs.go",
			old: "write, lost := k.repairs.memory.Lost(id, row); lost", new: "write, lost := k.repairs.memory.Lost(id, row); lost && false",
			tests: "hack/e2e/races", test: "TestDecision7NoAcknowledgedFieldIsLost",
		},
		{
			name: "leaves revived rows alive", file: backend + "repairs.go",
			old: "revival != repair.NotRevived {", new: "revival == repair.LeaveAlone {",
			tests: "hack/e2e/races", test: "TestDecision6DeletedSessionsStayDeleted",
		},
		{
			name: "gives a repair up when the upstream fails once", file: backend + "repairs.go",
			old: "case time.Since(job.noticed) < repairPatience:", new: "case false:",
			test: "TestDecision7ARepairOutlastsAShortFailureOfTheUpstream",
		},
		{
			name: "repairs what has stood upstream for hours", file: backend + "repairs.go",
			old: "case time.Since(job.noticed) < repairPatience:", new: "case true:",
			test: "TestDecision7ARepairThatFailsForLongIsGivenUpAndTold",
		},
		{
			name: "stores no prompt as a message", file: backend + "messages.go",
			old: "if prompt == \"\" || s.messages", new: "if prompt != \"\" || s.messages",
			test: "TestDecision30ThePromptIsTheFirstMessage",
		},
		{
			name: "stores a prompt again whose first answer was lost", file: backend + "messages.go",
			old: "\t\t\treturn nil\n\t\t}\n\t\treturn err", new: "\t\t}\n\t\treturn err",
			test: "TestDecision30APromptIsNotStoredTwice",
		},
		{
			name: "shows repairs only from the first one on", file: "apiserver/metrics.go",
			old: "repairsTotal.WithLabelValues(action)\n\t}\n\tfor", new: "_ = action\n\t}\n\tfor",
			tests: "hack/e2e/flow", test: "TestRulesAndDashboardMeetRealMetrics",
		},
		{
			name: "shares what the journal holds with requests", file: "apiserver/storage/watch.go",
			old: "RequestInfoFrom(w.ctx); requested {", new: "RequestInfoFrom(w.ctx); requested && false {",
			test: "TestNothingIsSharedWithTheJournal",
		},
		{
			name: "forgets every other deletion, before clients' eyes", file: "apiserver/storage/watch.go",
			old: "case before && event.Type == journal.Deleted:", new: "case before && event.Type == journal.Deleted && event.Revision%2 == 0:\n\t\treturn nil, nil\n\tcase before && event.Type == journal.Deleted:",
			tests: "hack/e2e/model", test: "TestWhateverHappensAllSidesAgreeInTheEnd",
		},
		{
			name: "gives versions out again after a restart", file: "apiserver/journal/journal.go",
			old: "first := uint64(epoch) << epochShift", new: "first := uint64(1) << epochShift",
			tests: "hack/e2e/model", test: "TestWhateverHappensAllSidesAgreeInTheEnd",
		},
	}
}
