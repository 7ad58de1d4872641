package main

// deployMutants break how our manifests come to a cluster and leave it.
func deployMutants() []mutant {
	const order, judge = "hack/deploy/order.go", "hack/image/judge.go"
	return []mutant{
		{
			name: "registers the API before anybody answers", file: order,
			old: "\tcase \"APIService\":\n\t\treturn api", new: "\tcase \"APIService\":\n\t\treturn needs",
			test: "TestTheOrder",
		},
		{
			name: "takes everybody's AgenticSessions along when it leaves", file: order,
			old: "{\"namespace\", kinds(byStage[ground], not(definition))}", new: "{\"namespace\", kinds(byStage[ground], func(kind string) bool { return definition(kind) || true })}",
			test: "TestTheOrder",
		},
		{
			name: "starts programs that wait for what nobody made", file: "hack/deploy/prerequisites.go",
			old: "return len(found) == 0, err", new: "return len(found) < 0, err",
			test: "TestWhatPodsMountIsThereFirst",
		},
		{
			name: "logs the bodies of requests when it is told to log all", file: "cmd/ambient-kube-apiserver/main.go",
			old: "if asked > mostVerbose {", new: "if asked > 2*mostVerbose {",
			test: "TestNoVerbosityLogsBodies",
		},
		{
			name: "accepts an image that root runs", file: judge,
			old: "err != nil || id == 0 {", new: "err != nil || id < 0 {",
			test: "TestWhatAnImageOfOursMustBe",
		},
	}
}
