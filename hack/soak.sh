#!/usr/bin/env bash
# The model for 10,000 operations, with all faults and an end of every process, and
# then the end-to-end tests until the time is over or one fails: soak.sh MINUTES
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
minutes=$1

run() { CGO_ENABLED=1 "${GO:-go}" test -race -vet=off -count=1 -timeout=90m "$@"; }

printf '== the model, 10,000 operations\n'
AMBIENT_KUBE_MODEL_OPERATIONS=10000 run -v ./hack/e2e/model

round=0
while ((SECONDS < minutes * 60)); do
	round=$((round + 1))
	printf '== round %d, %d of %d minutes gone\n' "$round" $((SECONDS / 60)) "$minutes"
	run -p=1 ./hack/e2e/...
done
echo "The model and $round rounds without a failure, in $((SECONDS / 60)) minutes."
