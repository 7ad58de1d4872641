package main

// translateMutants break what is shown of odd rows, and what is left of them.
func translateMutants() []mutant {
	const translate, validation = "apiserver/translate/", "apiserver/apis/ambient/validation/"
	return []mutant{
		{
			name: "shows numbers that JSON lacks", file: translate + "session_read.go",
			old: "if math.IsNaN(value) || math.IsInf(value, 0) {", new: "if math.IsNaN(value) && math.IsInf(value, 0) {",
			test: "TestWhatCannotBeWrittenOutIsLeftOutAndNamed",
		},
		{
			name: "shows times that no client can read", file: translate + "times.go",
			old: "if !v1alpha1.CanShow(t) {", new: "if !v1alpha1.CanShow(t) && t.IsZero() {",
			test: "TestWhatCannotBeWrittenOutIsLeftOutAndNamed",
		},
		{
			name: "leaves out times without a word", file: translate + "times.go",
			old: "p.add(ReasonInvalidValues, column+\" is not a time that can be shown\")\n", new: "",
			test: "TestProjectsAndSettingsLeaveOutWhatCannotBeWrittenOut",
		},
		{
			name: "loses a record for one member that cannot be read", file: translate + "reserved_read.go",
			old: "return decodeMembers(text)", new: "return Reserved{}, reservedMalformed",
			test: "TestARecordLosesNothingBesideWhatCannotBeRead",
		},
		{
			name: "shows of a record what Kubernetes refuses", file: translate + "reserved_read.go",
			old: "len(apivalidation.ValidateOwnerReferences(m.OwnerReferences, nil)) == 0", new: "len(m.OwnerReferences) >= 0",
			test: "TestARecordLosesNothingBesideWhatCannotBeRead",
		},
		{
			name: "writes over what it cannot read of a record", file: translate + "reserved.go",
			old: "if !slices.ContainsFunc(written,", new: "if !reservedMembers[strings.ToLower(name)] && !slices.ContainsFunc(written,",
			test: "TestWhatCannotBeWrittenOutStaysUpstream",
		},
		{
			name: "accepts times that no client can read", file: validation + "common.go",
			old: "if value.IsZero() || v1alpha1.CanShow(value.Time) {", new: "if value.IsZero() || v1alpha1.CanShow(value.Time) || path != nil {",
			test: "TestSessionStatusIsValidatedWhereItChanges",
		},
		{
			name: "tells nobody the status of a session that is too large", file: validation + "common.go",
			old: "if err != nil || before <= MaxObjectBytes {", new: "if err != nil || before > 0 {",
			test: "TestSessionsThatBrokeARuleBeforeStayEditable",
		},
	}
}
