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
			name: "forgets a record while the annotations are malformed", file: translate + "carry.go",
			old: "return nextAnnotations + carriedBehind + editObject(\"\", lost)", new: "return nextAnnotations",
			tests: "apiserver/backend", test: "TestARecordOutlivesAnnotationsThatCannotBeRead",
		},
		{
			name: "writes a record over malformed annotations", file: "apiserver/backend/keeper.go",
			old: "return found && !lost.malformed", new: "return found || lost.malformed",
			test: "TestAnnotationsThatBecomeMalformedMeanwhileAreLeftAlone",
		},
		{
			name: "writes over malformed annotations with each specification", file: translate + "annotations_write.go",
			old: "equality.Semantic.DeepEqual(held.wishes(), next.wishes())", new: "equality.Semantic.DeepEqual(Reserved{}, next.wishes())",
			test: "TestMalformedAnnotationsAreWrittenOverForWishesOnly",
		},
		{
			name: "loses the record when malformed annotations are replaced", file: translate + "annotations_write.go",
			old: "return editObject(keepable(u.text), changes), true, nil", new: "return editObject(u.text, changes), true, nil",
			test: "TestRecordsOnAProjectAreCarriedTogether",
		},
		{
			name: "takes what it carried on for the row that it deletes", file: "apiserver/backend/repairs.go",
			old: "row, found := k.asRead(id)\n\tif err := call()", new: "row, found := k.row(id)\n\tif err := call()",
			test: "TestDecision6ARevivedRowWithMalformedAnnotationsIsDeletedAgain",
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
