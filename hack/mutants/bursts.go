package main

// burstMutants break how the reconciler takes many new sessions at a time.
func burstMutants() []mutant {
	const barrier, creation, confirm = "reconciler/freshness/barrier.go", "reconciler/session/creation.go", "reconciler/session/confirm.go"
	return []mutant{
		{
			name: "takes an informer that lags behind for current", file: barrier,
			old: "return order >= 0, nil", new: "return order >= -1, nil",
			test: "TestItWaitsForTheInformer",
		},
		{
			name: "takes a question that began too early for an answer", file: barrier,
			old: "\t\tb.known = began", new: "\t\tb.known = began.Add(time.Second)",
			test: "TestAQuestionThatBeganTooEarlyIsNotEnough",
		},
		{
			name: "makes what was stopped while it waited", file: confirm,
			old: "return p.Controller.session(p.key)", new: "return p.session, nil",
			test: "TestWhatIsNotNewAnyMoreGetsNoAgenticSession",
		},
		{
			name: "asks no word of the upstream about a session that ran before", file: confirm,
			old: "p.named() != \"\" || p.Now()", new: "p.Now()",
			test: "TestANewSessionIsReadFromAnInformerThatIsCurrent",
		},
		{
			name: "records nothing as long as others come", file: creation,
			old: "p.Now().Sub(made.at) < burstPatience", new: "p.Now().Sub(made.at) >= 0",
			test: "TestInABurstAgenticSessionsComeFirst",
		},
		{
			name: "records each AgenticSession before it makes the next one", file: creation,
			old: "return p.resource != nil && found", new: "return p.resource == nil && found",
			test: "TestInABurstAgenticSessionsComeFirst",
		},
	}
}
