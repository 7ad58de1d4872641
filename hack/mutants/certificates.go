package main

// certificateMutants break how certificates are made, rotated and published.
func certificateMutants() []mutant {
	const rotation, secret, managed = "certs/rotation/rotation.go", "certs/secret/secret.go", "certs/serving/managed.go"
	const endToEnd = "hack/e2e/certificates"
	return []mutant{
		{
			name: "trusts an authority no more as soon as the next one signs", file: rotation,
			old: "\t\ts.retire(s.signing.Certificate(), policy)\n\t\ts.signing,", new: "\t\ts.signing,",
			test: "TestTheThreeSteps",
		},
		{
			name: "signs with an authority as soon as it is made", file: rotation,
			old: "next, now.Add(policy.Settle)", new: "next, now",
			test: "TestTheThreeSteps",
		},
		{
			name: "gives up a step because another replica was faster", file: secret,
			old: "if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {", new: "if apierrors.IsNotFound(err) {",
			test: "TestAStepIsNotWrittenOverOneOfAnother",
		},
		{
			name: "signs with an authority of its own although another replica was faster", file: secret,
			old: "Create(ctx, secret, metav1.CreateOptions{}); err != nil {", new: "Create(ctx, secret, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {",
			test: "TestReplicasThatStartAtOnceShareOneAuthority",
		},
		{
			name: "forgets whom it trusted when the authority is lost", file: secret,
			old: "state, err := s.create(ctx, trusted)", new: "state, err := s.create(ctx, nil)",
			test: "TestALostOrBrokenAuthorityIsReplacedAndTrustedForAWhile",
		},
		{
			name: "shows a certificate of an authority that was published just now", file: managed,
			old: "known && !now.Before(from) ||", new: "known && now.Before(from) ||",
			test: "TestACertificateOfANewAuthorityWaitsUntilThatIsTrusted",
		},
		{
			name: "shows a certificate of an authority that is not valid yet", file: managed,
			old: "if authority.NotBefore.After(from) {", new: "if authority.NotAfter.Before(from) {",
			test: "TestAnAuthorityThatIsNotValidYetSignsNothing",
		},
		{
			name: "takes the trust away from what it shows", file: managed,
			old: "bundle = bundle.With(m.issuer.Certificate())", new: "bundle = bundle.With()",
			test: "TestTheAuthorityOfWhatIsShownIsNotTakenAway",
		},
		{
			name: "is ready before anybody was told whom to trust", file: managed,
			old: "if m.report.everPublished {", new: "if m.pair != nil {",
			test: "TestItIsPublishedFirst",
		},
		{
			name: "writes a caBundle only when it has changed", file: managed,
			old: "exact := !same || now.Sub(m.writtenAt) >= m.options.interval ||", new: "exact := !same ||",
			test: "TestPublishingIsAssertedAgain",
		},
		{
			name: "lets the certificate expire", file: managed,
			old: "shown != nil && now.Before(shown.RenewAt) &&", new: "shown != nil &&",
			test: "TestWhatIsShownIsAlwaysTrusted",
		},
		{
			name: "leaves a caBundle as somebody wrote it", file: "certs/publish/publish.go",
			old: "if !exact && target.covered(held.Object, bundle) {", new: "if !exact {",
			tests: endToEnd, test: "TestACABundleThatSomebodyOverwritesIsRestored",
		},
	}
}
