#!/usr/bin/env bash
# Repeats the end-to-end tests until the time is over or one fails:
# soak.sh MINUTES
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
minutes=$1

round=0
while ((SECONDS < minutes * 60)); do
	round=$((round + 1))
	printf '== round %d, %d of %d minutes gone\n' "$round" $((SECONDS / 60)) "$minutes"
	CGO_ENABLED=1 "${GO:-go}" test -race -vet=off -count=1 -timeout=60m ./hack/e2e/...
done
echo "$round rounds without a failure."
