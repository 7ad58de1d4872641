package main

// mishapMutants break what holds when a request fails, a person meddles or a process
// ends at the worst moment.
func mishapMutants() []mutant {
	const session, diff = "reconciler/session/", "reconciler/agenticsession/diff.go"
	const guard, review = "reconciler/guard.go", "reconciler/webhook/review.go"
	return []mutant{
		{
			name: "makes again what vanished before it was recorded", file: session + "look.go",
			old: "in.Recorded, in.Projected, in.LossNoted = true, true, false", new: "in.Recorded = in.Recorded || false",
			test: "TestNothingIsLostOrRunTwiceWhateverHappens",
		},
		{
			name: "forgets what it made when the status can't be written", file: session + "made.go",
			old: "if p.named() == p.resource.GetUID() {", new: "if p.named() != p.resource.GetUID() {",
			test: "TestDeletedWhileARequestFails",
		},
		{
			name: "records nothing of what vanished", file: session + "pass.go",
			old: "change.Vanished = p.unnamed()", new: "change.Vanished = nil",
			test: "TestWhatVanishesBeforeItIsRecordedIsNotMadeAgain",
		},
		{
			name: "takes an AgenticSession that lost its label before it was recorded for lost", file: session + "confirm.go",
			old: "recorded = unnamed\n", new: "recorded = p.session.Status.AgenticSession\n",
			test: "TestAnUnlabelledAgenticSessionIsNotLostBeforeItIsRecorded",
		},
		{
			name: "takes a push that somebody switched on for a default", file: diff,
			old: "!asked && (!known || value != byDefault)", new: "!asked && (!known || value != byDefault && value != true)",
			test: "TestWhenAnApplyIsNeeded",
		},
		{
			name: "leaves to others what they changed and changed back", file: diff, tests: "reconciler/session",
			old: " || !ownsAll(owned, wanted), nil", new: ", nil",
			test: "TestWhatWasChangedAndChangedBackIsOursAgain",
		},
		{
			name: "tells of edits that nobody made", file: session + "act.go",
			old: "case applied.GetResourceVersion() == p.resource.GetResourceVersion():", new: "case applied.GetResourceVersion() == \"\":",
			test: "TestAnApplyThatChangesNothingIsNoNews",
		},
		{
			name: "keeps the mark of a brake that let go", file: guard,
			old: "held.Release() {\n\t\t\tg.later(kind, set)\n", new: "held.Release() {\n",
			test: "TestTheMarkOfABrakeThatLetGoIsTakenOffInTheEnd",
		},
		{
			name: "acts on a person's word that stays where it is", file: guard,
			old: "lease.ResourceVersion); err != nil {", new: "lease.ResourceVersion); err != nil && lease != nil {",
			test: "TestDecision22TheWordOfAPersonCountsOnce",
		},
		{
			name: "acts on what a person said of another time", file: guard,
			old: "annotations[allowAnnotation], version = nil, lease.ResourceVersion", new: "version = lease.ResourceVersion",
			test: "TestDecision22AnOldWordLetsNothingGo",
		},
		{
			name: "removes what a person was not shown yet", file: guard,
			old: " && lease.Annotations[heldAnnotation+kind] == mark(set) {", new: " {",
			test: "TestDecision22AnOldWordLetsNothingGo",
		},
		{
			name: "leaves queues behind that were never run", file: "reconciler/run.go",
			old: "\tdefer r.sessions.Stop()\n", new: "",
			test: "TestATimeInTheLeadThatEndsAtOnceLeavesNothingBehind",
		},
		{
			name: "lets slow questions keep everybody out", file: review,
			old: "\tdata, release, err := h.intake.read(", new: "\tselect {\n\tcase h.places <- struct{}{}:\n\t\tdefer func() { <-h.places }()\n\tdefault:\n\t\thttp.Error(w, \"\", http.StatusServiceUnavailable)\n\t\treturn failed, errTooMuch\n\t}\n\tdata, release, err := h.intake.read(",
			test: "TestSlowQuestionsKeepNobodyOut",
		},
		{
			name: "lets one webhook take the places of the other", file: review,
			old:  "\troutes := http.NewServeMux()\n\tfor path, judge := range map[string]judge{\n\t\tAgenticSessionsPath: sessions{exempt: options.Exempt}.judge,\n\t\tNamespacesPath:      namespaces{projects: options.Projects}.judge,\n\t} {\n\t\t// What is sent to one of them takes no place from the other.\n\t\thook := &webhook{judge: judge, intake: intake{most: mostIncoming}, places: make(chan struct{}, mostReviews)}\n",
			new:  "\tplaces := make(chan struct{}, mostReviews)\n\troutes := http.NewServeMux()\n\tfor path, judge := range map[string]judge{\n\t\tAgenticSessionsPath: sessions{exempt: options.Exempt}.judge,\n\t\tNamespacesPath:      namespaces{projects: options.Projects}.judge,\n\t} {\n\t\t// What is sent to one of them takes no place from the other.\n\t\thook := &webhook{judge: judge, intake: intake{most: mostIncoming}, places: places}\n",
			test: "TestOneWebhookTakesNoPlaceFromTheOther",
		},
		{
			name: "holds any amount of what it is asked", file: "reconciler/webhook/intake.go",
			old: "if c.intake.held.Add(int64(n)) > c.intake.most {", new: "if c.intake.held.Add(int64(n)) < 0 {",
			test: "TestWhatIsHeldOfQuestionsIsBounded",
		},
	}
}
