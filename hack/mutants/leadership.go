package main

// leadershipMutants break who serves, and what a new leader waits for.
func leadershipMutants() []mutant {
	const lock, gate, pods = "apiserver/leadership/lock.go", "apiserver/leadership/gate.go", "apiserver/leadership/pods.go"
	const office = "apiserver/backend/office.go"
	return []mutant{
		{
			name: "serves without the lease", file: gate,
			old: "if g.leads() {", new: "if g.leads() || true {",
			test: "TestDecision27OnlyTheLeaderServesResources",
		},
		{
			name: "serves on a renewal that is out of date", file: lock,
			old: "return l.held && age < l.validity", new: "return l.held && age < 1000*l.validity",
			test: "TestDecision27LeadershipEndsByTheClockAlone",
		},
		{
			name: "goes on although another holds the lease", file: lock,
			old: "if l.held && holder != \"\" && holder != l.identity {", new: "if false {",
			test: "TestDecision27AHolderThatSeesAnotherHasLost",
		},
		{
			name: "labels its pod before the label is off others that may serve", file: pods,
			old: "if orderly && !own {", new: "if !own {",
			test: "TestDecision27TheLabelComesOffAllOthersFirst",
		},
		{
			name: "leaves discovery without an endpoint in an orderly hand-over", file: pods,
			old: "if orderly && !own {", new: "if false {",
			tests: "hack/e2e/replicas", test: "TestDecision27NothingIsLostInHandOvers",
		},
		{
			name: "ends before another pod serves discovery", file: pods,
			old: "if name != p.Name {\n\t\t\t\treturn true, nil", new: "if name != \"\" {\n\t\t\t\treturn true, nil",
			test: "TestDecision27TheLabelStaysUntilAnotherPodServes",
		},
		{
			name: "writes without the lease", file: "apiserver/backend/kind.go",
			old: "if err := k.office.mayWrite(); err != nil {", new: "if err := error(nil); err != nil {",
			test: "TestDecision27NoWriteIsMadeWithoutTheLease",
		},
		{
			name: "serves what was listed before its term", file: office,
			old: "started.Before(term.Since) && !k.feed", new: "started.IsZero() && !k.feed",
			test: "TestDecision27ANewLeaderServesWhatItListedInItsTerm",
		},
		{
			name: "creates at once as a new leader", file: office,
			old: "case term.CreatesAfter.IsZero() || k.settled.Load():", new: "case true:",
			test: "TestDecision5ANewLeaderCreatesAfterAListingThatTells",
		},
		{
			name: "creates as a new leader before a listing has told", file: office,
			old: "AwaitListing(ctx, term.CreatesAfter)", new: "AwaitListing(ctx, time.Time{})",
			test: "TestDecision5ANewLeaderCreatesAfterAListingThatTells",
		},
		{
			name: "forgets that a killed leader may have left creations behind", file: lock,
			old: "max(unsettled, l.callDeadline).String()", new: "time.Duration(0).String()",
			test: "TestDecision5ANewLeaderKnowsWhatItsForerunnersMayHaveUnderWay",
		},
		{
			name: "shows the revisions of a standby", file: "apiserver/journal/journal.go",
			old: "restamp(entry.Value, entry.Revision)", new: "restamp(entry.Value, entry.Revision-first)",
			test: "TestAJournalMovesIntoAnEpoch",
		},
	}
}
