package main

// accessMutants break who has access to a project, and when it ends.
func accessMutants() []mutant {
	const settings = "reconciler/settings/"
	return []mutant{
		{
			name: "leaves the access to a project that is gone", file: settings + "controller.go",
			old: "settings == nil || noProject {", new: "settings == nil {",
			test: "TestTheAccessToAProjectEndsWithIt",
		},
		{
			name: "takes a project that is not shown for a deleted one", file: settings + "removed.go",
			old: "return marked || ", new: "return marked || noProject || ",
			test: "TestDecision22AProjectThatIsNotShownIsNotGoneYet",
		},
		{
			name: "believes an event against the API server", file: settings + "removed.go",
			old: "\tif err == nil {\n\t\tklog", new: "\tif err == nil && !noProject {\n\t\tklog",
			test: "TestDecision22AProjectThatIsNotShownIsNotGoneYet",
		},
		{
			name: "revokes nothing while something is in the way", file: settings + "controller.go",
			old: "if !c.Gate.Terminating(namespace) {", new: "if !c.Gate.Terminating(namespace) && namespace == \"\" {",
			test: "TestWhatIsTakenAwayIsRevokedWhateverIsInTheWay",
		},
		{
			name: "leaves a role that was lowered where the new one can't be given", file: settings + "access.go",
			old: "roles[slices.Index(roles, entry.access.Role):]", new: "roles",
			test: "TestWhileARoleCannotBeChangedNobodyKeepsMoreThanTheNewOne",
		},
		{
			name: "leaves a project's deletion to the brake", file: "reconciler/handlers.go",
			old: "r.settingsPasses.ProjectDeleted(object.Name)\n", new: "",
			test: "TestTheDeletionOfAProjectIsProofForItsSettings",
		},
	}
}
