package main

// guardMutants break what is refused, warned of and kept in step beside the
// projections themselves.
func guardMutants() []mutant {
	return append(refusalMutants(), mishapMutants()...)
}

func refusalMutants() []mutant {
	const sessions, namespaces = "reconciler/webhook/sessions.go", "reconciler/webhook/namespaces.go"
	const controller, platform = "reconciler/settings/controller.go", "reconciler/settings/platform.go"
	const owned, unmapped = "reconciler/agenticsession/owned.go", "apiserver/apis/ambient/unmapped/unmapped.go"
	return []mutant{
		{
			name: "lets edits of what is projected pass", file: sessions,
			old: "if err != nil || len(changed) == 0 {", new: "if err != nil || len(changed) >= 0 {",
			test: "TestWhatIsRefused",
		},
		{
			name: "refuses the operator its own edits", file: sessions,
			old: "slices.Contains(s.exempt, request.UserInfo.Username)", new: "slices.Contains(s.exempt, request.UserInfo.UID)",
			test: "TestWhatIsRefused",
		},
		{
			name: "lets the deletion of an AgenticSession depend on itself", file: sessions,
			old: "request.Operation != admissionv1.Update || ", new: "request.Operation == admissionv1.Connect || ",
			test: "TestWhatIsRefused",
		},
		{
			name: "takes fields of others for its own", file: owned,
			old: "entry.Manager != FieldManager ||", new: "entry.Manager == \"\" ||",
			test: "TestWhatWeDoNotOwnMayBeChanged",
		},
		{
			name: "overlooks a field of its own that is taken away", file: owned,
			old: "if !equality.Semantic.DeepEqual(before[name], after[name]) {", new: "if after[name] != nil && !equality.Semantic.DeepEqual(before[name], after[name]) {",
			test: "TestOwnedChanges",
		},
		{
			name: "believes the mark of a deleted project", file: namespaces,
			old: "if id == \"\" ||", new: "if id == \"\" || namespace.Annotations[\"ambient.io/project-gone\"] == \"true\" ||",
			test: "TestWhatIsRefused",
		},
		{
			name: "lets a namespace go whose project can't be asked for", file: namespaces,
			old: "case apierrors.IsNotFound(err):", new: "case apierrors.IsNotFound(err) || err != nil:",
			test: "TestWhatIsRefused",
		},
		{
			name: "serves its first certificate for ever", file: "reconciler/webhook/server.go",
			old: "options.Certificate.AddListener(handshakes)", new: "_ = handshakes",
			test: "TestTheCertificateMayBeReplaced",
		},
		{
			name: "warns of no reserved variable", file: unmapped,
			old: "case slices.Contains(reservedVariables, name):", new: "case slices.Contains(reservedVariables[:1], name):",
			test: "TestFields",
		},
		{
			name: "warns again of what did not change", file: unmapped,
			old: "if before, was := old.Environment[name]; was && before == value {", new: "if before, was := old.Environment[name]; was && before != value {",
			test: "TestFields",
		},
		{
			name: "leaves the access that the operator gave", file: platform,
			old: "if made && !slices.Contains(spec.GroupAccess, access) {", new: "if made && !slices.Contains(spec.GroupAccess, access) && namespace == \"\" {",
			test: "TestAccessGivenByTheOperatorIsRevokedToo",
		},
		{
			name: "removes RoleBindings of others", file: platform,
			old: "binding.Name == access.GroupName+\"-\"+role &&", new: "binding.Name != access.GroupName &&",
			test: "TestAccessGivenByTheOperatorIsRevokedToo",
		},
		{
			name: "empties settings of the platform that it never wrote", file: owned, tests: "reconciler/settings",
			old: "return owned != nil || err != nil", new: "return owned != nil || err == nil",
			test: "TestSettingsThatWereNeverOursAreLeftAlone",
		},
		{
			name: "writes the platform's settings at every pass", file: platform,
			old: "} else if !needed {", new: "} else if !needed && held == nil {",
			test: "TestThePlatformsSettingsAreKeptInStep",
		},
		{
			name: "fails where the platform's settings are not defined", file: platform,
			old: "wanted); apierrors.IsNotFound(err) {", new: "wanted); apierrors.IsNotFound(err) && namespace == \"\" {",
			test: "TestADefinitionThatWasJustRemovedIsNoFailure",
		},
		{
			name: "takes access away before it gives the new", file: controller, tests: "hack/e2e/flow",
			old:  "\topen, failed := c.grant(ctx, settings, held, wanted)\n\tfailed = append(failed, c.revoke(ctx, settings, held, kept(namespace, wanted, open))...)\n",
			new:  "\tfailed := c.revoke(ctx, settings, held, kept(namespace, wanted, nil))\n\t_, notGranted := c.grant(ctx, settings, held, wanted)\n\tfailed = append(failed, notGranted...)\n",
			test: "TestGroupsGetAndLoseAccess",
		},
	}
}
