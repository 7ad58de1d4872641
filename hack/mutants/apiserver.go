package main

// apiserverMutants break what is known of the upstream and how it is written.
func apiserverMutants() []mutant {
	all := append(feedMutants(), journalMutants()...)
	all = append(all, storageMutants()...)
	return append(all, backendMutants()...)
}

func feedMutants() []mutant {
	const absence, fold, listing = "apiserver/feed/absence.go", "apiserver/feed/fold.go", "apiserver/feed/listing.go"
	const state, stream, witness, pages = "apiserver/feed/state.go", "apiserver/feed/stream.go", "apiserver/feed/witness.go", "apiserver/feed/pagesize.go"
	return []mutant{
		{
			name: "believes an absence without a Get", file: absence,
			old: "denied, basis, err := f.ask(ctx, id)", new: "denied, basis, err := true, f.now(), error(nil)",
			test: "TestDecision1AnAbsenceNeedsAGet",
		},
		{
			name: "ignores DELETED", file: fold,
			old: "h.announced = true\n\t\treturn true", new: "h.announced = true\n\t\treturn false",
			test: "TestDecision2ADeletionIsConfirmedByGet",
		},
		{
			name: "believes DELETED without a Get", file: fold,
			old: "h.announced = true\n\t\treturn true", new: "f.withdrawLocked(event.ID)\n\t\treturn false",
			test: "TestDecision2ADeletionOfALivingRowIsNotBelieved",
		},
		{
			name: "compares with the row held, whatever the clock did", file: "apiserver/feed/fold.go",
			old: "return f.source.UpdatedAt(row).After(h.latest)", new: "return f.source.UpdatedAt(row).After(f.source.UpdatedAt(h.row))",
			test: "TestDecision2AClockThatIsSetBackRollsNothingBack",
		},
		{
			name: "lets a late event roll state back", file: fold,
			old: "newer := f.supersedes(event.Row, h)", new: "newer := true",
			test: "TestDecision2AnEventHeldAcrossANewerListIsAHint",
		},
		{
			name: "lets a late event revive a deleted row", file: fold,
			old: "case gone:\n\t\treturn true", new: "case false && gone:\n\t\treturn true",
			test: "TestDecision2ALateCreatedAfterOurDeleteDoesNotResurrect",
		},
		{
			name: "folds a late listing over a newer write", file: fold,
			old: "case f.versionLocked(id) <= basis:", new: "case true:",
			test: "TestDecision2APageOnItsWayDoesNotResurrect",
		},
		{
			name: "takes a row touched during a listing for absent", file: absence,
			old: "if !seen && h.version > result.clock {", new: "if false {",
			test: "TestDecision1ARowTouchedAfterTheListingBeganIsLeftAlone",
		},
		{
			name: "publishes equal content", file: fold,
			old: "\tif changed {\n\t\tf.publisher", new: "\tif true {\n\t\tf.publisher",
			test: "TestDecision2EqualContentIsNoEvent",
		},
		{
			name: "does not repeat a Get that was overtaken", file: fold,
			old:  "folded, _ = f.foldReadLocked(id, row, basis)",
			new:  "f.foldReadLocked(id, row, basis)\n\t\t\tfolded = true",
			test: "TestDecision2AGetIsRepeatedIfTheRowChangedMeanwhile",
		},
		{
			name: "folds an answer over the state that overtook it", file: fold,
			old: "if gone && !t.stranger || found && !f.supersedes(row, h) {", new: "if false && gone && !t.stranger && h != nil {",
			test: "TestDecision2AnAnswerThatWasOvertakenIsReadAgain",
		},
		{
			name: "believes an empty world", file: absence,
			old:  "case isMass(found.absentDue, found.known), len(found.due) > 0 && found.known == 0 && f.HasSynced():",
			new:  "case false:",
			test: "TestDecision3AnotherDatabaseIsNoMassDeletion",
		},
		{
			name: "hides that it is degraded", file: state,
			old: "f.status.doubt = doubt", new: "f.status.doubt = Doubt{}",
			test: "TestDecision3LostRightsAreNoDeletions",
		},
		{
			name: "lets nobody vouch for the upstream", file: witness,
			old: "if vouched || f.witnessed(ctx) {", new: "if vouched || f.witnessed(ctx) || !vouched {",
			test: "TestDecision3AFewAbsencesAreNoDeletionsWhenTheDatabaseIsExchanged",
		},
		{
			name: "lets the rows of another database vouch for it", file: state,
			old: "return !h.first.After(f.status.settledAt)", new: "return true",
			test: "TestDecision3TheRowsOfAnotherDatabaseNeverVouchForIt",
		},
		{
			name: "believes a mass of deletions at first sight", file: absence,
			old: "if !suspected || time.Since(since)", new: "if true || suspected || time.Since(since)",
			test: "TestDecision3AMassThatAWitnessVouchesForIsBelievedAtTheSecondLook",
		},
		{
			name: "drops the rows of an incomplete listing", file: listing,
			old:  "f.foldPage(page, result.number)",
			new:  "if len(page.rows) == page.total {\n\t\t\tf.foldPage(page, result.number)\n\t\t}",
			test: "TestDecision1RowsOfAnIncompleteListingCount",
		},
		{
			name: "asks for a page only when the one before is folded in", file: listing,
			old: "basis = next", new: "time.Sleep(10 * time.Millisecond)\n\t\t_, basis = next, f.now()",
			test: "TestTheNextPageIsAskedForWhileOneIsFoldedIn",
		},
		{
			name: "takes every listing for complete", file: listing,
			old: "return most, len(seen) == total, nil", new: "return most, true, nil",
			test: "TestDecision1OneIncompletePassProvesNothing",
		},
		{
			name: "fails for good when a page is too large", file: pages,
			old: "case !f.source.TooLarge(err):", new: "case true:",
			test: "TestAPageThatIsTooLargeIsReadInSmallerOnes",
		},
		{
			name: "leaves rows out where the pages get smaller", file: pages,
			old: "number := offset/size + 1", new: "number := (offset+size-1)/size + 1",
			test: "TestAPageThatIsTooLargeIsReadInSmallerOnes",
		},
		{
			name: "lists in small pages for ever", file: pages,
			old: "p.rows, p.received, p.trying = min(2*p.rows, p.most), 0, true", new: "p.received, p.trying = 0, true",
			test: "TestPagesGrowAgainWhenTheLargeRowsAreGone",
		},
		{
			name: "tries pages that are too large again and again", file: pages,
			old: "p.patience = min(2*p.patience, mostPatience)", new: "p.patience = leastPatience",
			test: "TestRefusedPagesAreFew",
		},
		{
			name: "is live while no listing succeeds", file: state,
			old: "case s.listingError != nil:\n\t\treturn Lagging", new: "case s.listingError != nil && s.lastAnswer.IsZero():\n\t\treturn Lagging",
			test: "TestAFeedWhoseListingsFailIsNotLiveHoweverFresh",
		},
		{
			name: "takes overload for a message that is too large", file: "apiserver/upstream/errors.go",
			old: "return code == codes.ResourceExhausted && (", new: "return code == codes.ResourceExhausted || (",
			test: "TestTooLargeIsNotOverload",
		},
		{
			name: "is synchronised before every row was seen", file: listing,
			old: "done = doubtful == 0 && (result.complete || enough)", new: "done = doubtful == 0",
			test: "TestDecision1TheFirstSynchronisationWaitsForEveryRowThatIsCounted",
		},
		{
			name: "lists before the stream is open", file: listing,
			old: "if !sleep(ctx, openPatience, f.attempted) {", new: "if !sleep(ctx, 0, f.attempted) {",
			test: "TestTheStreamIsOpenedBeforeTheFirstListing",
		},
		{
			name: "goes on with old credentials", file: stream,
			old: "cancel(errCredentialsChanged)", new: "<-ctx.Done()",
			test: "TestNewCredentialsReopenTheStream",
		},
		{
			name: "never resets the pauses between attempts", file: stream,
			old: "\t\t\tpauses = retryPauses()\n\t\t}", new: "\t\t}",
			test: "TestPausesBetweenAttemptsGrowAndStartAnew",
		},
		{
			name: "keeps a hint for each event of a burst", file: stream,
			old: "if _, found := h.pending[id]; !found {", new: "if true {",
			test: "TestHintsAreBoundedByTheNumberOfRows",
		},
	}
}

func journalMutants() []mutant {
	const journal, log, epoch = "apiserver/journal/journal.go", "apiserver/journal/log.go", "apiserver/epoch/epoch.go"
	return []mutant{
		{
			name: "counts every epoch from the same number", file: journal,
			old: "first := uint64(epoch) << epochShift", new: "first := uint64(1) << epochShift",
			test: "TestAJournalMovesIntoAnEpoch",
		},
		{
			name: "resumes from a revision that was trimmed", file: log,
			old: "case after < l.compacted:\n\t\treturn nil, ErrCompacted", new: "case after < l.compacted:\n\t\treturn slices.Clip(l.events), nil",
			test: "TestRevisionsOutsideTheLogAreRefused",
		},
		{
			name: "resumes from the future", file: log,
			old: "return nil, ErrFuture", new: "return nil, nil",
			test: "TestRevisionsOutsideTheLogAreRefused",
		},
		{
			name: "trims events that are young", file: log,
			old: "for dropped < surplus && l.facts[dropped].at.Before(horizon) {", new: "for dropped < surplus && !horizon.IsZero() {",
			test: "TestTheLogKeepsYoungEventsAndManyEventsButNeverTooMany",
		},
		{
			name: "takes the epoch from the clock alone", file: epoch,
			old: "next := max(last+1, seconds(c.Now()))", new: "next := seconds(c.Now())",
			test: "TestDecision4EpochsRiseWhateverTheClockAndTheLeaseDo",
		},
		{
			name: "claims no epoch in the Lease", file: epoch,
			old: "lease.Annotations[Annotation] = strconv.FormatUint(next, 10)", new: "_ = strconv.FormatUint(next, 10)",
			test: "TestConcurrentClaimersGetDifferentEpochs",
		},
		{
			name: "claims an epoch without comparing", file: epoch,
			old: "_, err = c.Leases.Update(ctx, lease", new: "lease.ResourceVersion = \"\"\n\t\t_, err = c.Leases.Update(ctx, lease",
			test: "TestConcurrentClaimersGetDifferentEpochs",
		},
		{
			name: "gives up claiming an epoch", file: epoch,
			old: "backoff.DelayFunc().Until(ctx, true, true, func", new: "wait.ExponentialBackoffWithContext(ctx, backoff, func",
			test: "TestAClaimOutlastsAnOutageOfTheCluster",
		},
		{
			name: "claims an epoch far ahead of the cluster", file: epoch,
			old: "if next > seconds(clusterTime.Add(maxAhead)) && next > last+1 {", new: "if next == 0 && clusterTime.IsZero() {",
			test: "TestAClockFarAheadOfTheClusterClaimsNothing",
		},
	}
}

func storageMutants() []mutant {
	const cached, read, watch, write = "apiserver/storage/cached.go", "apiserver/storage/read.go", "apiserver/storage/watch.go", "apiserver/storage/write.go"
	return []mutant{
		{
			name: "skips the Get before a write", file: write,
			old:  "\tdefer unlock()\n\tif err := s.backend.Refresh(ctx, key); err != nil {\n\t\treturn err\n\t}\n",
			new:  "\tdefer unlock()\n",
			test: "TestAWriteStartsAgainFromWhatTheUpstreamHolds",
		},
		{
			name: "writes over a state that it did not decide on", file: write,
			old: "if nowExists == exists && now.Revision == current.Revision {", new: "if nowExists == exists {",
			test: "TestAWriteStartsAgainFromWhatTheUpstreamHolds",
		},
		{
			name: "writes what changes nothing", file: write,
			old: "\t\tif unchanged {\n", new: "\t\tif unchanged && false {\n",
			test: "TestAnUpdateThatChangesNothingWritesNothingAndKeepsTheRevision",
		},
		{
			name: "does not serialise the writers of one object", file: write,
			old: "unlock, err := s.backend.Lock(ctx, key)", new: "unlock, err := func() {}, error(nil)",
			test: "TestAWriteThatWaitsForTheLockEndsWithItsContext",
		},
		{
			name: "writes before the first synchronisation", file: write,
			old:  "mayBeAbsent bool, decide func(current entry, exists bool) (apply, error)) error {\n\tif err := s.backend.Synced(); err != nil {",
			new:  "mayBeAbsent bool, decide func(current entry, exists bool) (apply, error)) error {\n\tif err := s.backend.Synced(); err != nil && mayBeAbsent != mayBeAbsent {",
			test: "TestNothingIsWrittenBeforeTheFirstSynchronisation",
		},
		{
			name: "accepts a watch from the future", file: cached,
			old: "if from > g.store.journal.Revision() {", new: "if from > 1<<63 {",
			test: "TestDecision4AWatchFromAnotherEpochIsGone",
		},
		{
			name: "refuses a watch from the newest revision", file: cached,
			old: "if from > g.store.journal.Revision() {", new: "if from >= g.store.journal.Revision() {",
			test: "TestDecision4AWatchFromTheRevisionOfACreateAnsweredJustNow",
		},
		{
			name: "lists and watches old state as current during an outage", file: "apiserver/storage/store.go",
			old: "return s.backend.Current()", new: "return s.backend.Synced()",
			test: "TestDecision8AnOutageRefusesOnlyWhatClaimsToBeCurrent",
		},
		{
			name: "reads old state as current during an outage", file: read,
			old: "return s.backend.Current()", new: "return s.backend.Synced()",
			test: "TestDecision8AnOutageRefusesOnlyWhatClaimsToBeCurrent",
		},
		{
			name: "shows an empty world before the first synchronisation", file: cached,
			old:  "func (g *guard) GetList(ctx context.Context, key string, options apistorage.ListOptions, out runtime.Object) error {\n\tif err := g.store.backend.Synced(); err != nil {\n\t\treturn err\n\t}\n",
			new:  "func (g *guard) GetList(ctx context.Context, key string, options apistorage.ListOptions, out runtime.Object) error {\n\tif g.store.backend.Synced() != nil {\n\t\treturn nil\n\t}\n",
			test: "TestNothingIsAnsweredBeforeTheFirstSynchronisation",
		},
		{
			name: "reads old state without asking the upstream", file: read,
			old: "\tif options.ResourceVersion == \"\" {\n\t\tif err := s.readThrough", new: "\tif options.ResourceVersion == \"0\" {\n\t\tif err := s.readThrough",
			test: "TestAReadIsAnsweredFromMemoryWhileThatMayClaimToBeCurrent",
		},
		{
			name: "sends a watch the objects that left its selection as changed", file: watch,
			old: "after := event.Type != journal.Deleted && w.selects(event.Value)", new: "after := event.Type != journal.Deleted",
			test: "TestTheEventsOfAWatchAddUpToTheList",
		},
		{
			name: "forgets one deletion in a watch", file: watch,
			old: "case before && event.Type == journal.Deleted:", new: "case before && event.Type == journal.Deleted && event.Revision%2 == 0:\n\t\treturn nil, nil\n\tcase before && event.Type == journal.Deleted:",
			test: "TestTheEventsOfAWatchAddUpToTheList",
		},
	}
}
