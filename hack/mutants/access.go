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
			name: "grants nothing more after a refusal", file: settings + "access.go",
			old: "append(failed, failure{entry.field, err})\n\t\t\tcontinue\n", new: "append(failed, failure{entry.field, err})\n\t\t\treturn open, failed\n",
			test: "TestWhatTheClusterRefusesOfOneGroupHindersNoOther",
		},
		{
			name: "revokes nothing beside a refusal", file: settings + "controller.go",
			old: "\topen, failed := c.grant(ctx, settings, held, wanted)\n", new: "\topen, failed := c.grant(ctx, settings, held, wanted)\n\tif len(failed) > 0 {\n\t\treturn failed.err()\n\t}\n",
			test: "TestWhatTheClusterRefusesOfOneGroupHindersNoOther",
		},
		{
			name: "revokes nothing more after a refused revocation", file: settings + "access.go",
			old: "append(failed, failure{accessField, err})\n\t\t\tcontinue\n", new: "append(failed, failure{accessField, err})\n\t\t\tbreak\n",
			test: "TestARevocationThatIsRefusedHindersNoOtherAndIsTold",
		},
		{
			name: "takes the former role away where a higher one is refused", file: settings + "controller.go",
			old: "kept(namespace, wanted, open)", new: "kept(namespace, wanted, open[:0])",
			test: "TestARoleThatIsRefusedLeavesAsMuchOfTheFormerAsItGives",
		},
		{
			name: "tells of no refused access", file: settings + "controller.go",
			old: "if len(failed) > 0 && len(refused) == 0 {", new: "if len(failed) > 0 {",
			test: "TestWhatTheClusterRefusesOfOneGroupHindersNoOther",
		},
		{
			name: "quotes a refusal in an event", file: settings + "refused.go",
			old: "\"%s; condition Projected says why\", f)", new: "\"%s\", f.message())",
			test: "TestWhatTheClusterRefusesOfOneGroupHindersNoOther",
		},
		{
			name: "leaves what the operator gave where its settings are refused", file: settings + "platform.go",
			old: "failed = append(failed, failure{specField, err})", new: "return nil, failures{{specField, err}}",
			test: "TestPlatformSettingsThatAreRefusedHinderNoRevocation",
		},
		{
			name: "gives up a refused revocation when the project is gone", file: settings + "removed.go",
			old: "len(failed) > 0 {", new: "len(failed) > 9 {",
			test: "TestARefusedRevocationInAnAbandonedNamespaceIsTriedAgain",
		},
		{
			name: "leaves a project's deletion to the brake", file: "reconciler/handlers.go",
			old: "r.settingsPasses.ProjectDeleted(object.Name)\n", new: "",
			test: "TestTheDeletionOfAProjectIsProofForItsSettings",
		},
	}
}
