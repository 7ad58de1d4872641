#!/usr/bin/env bash
# Runs every fuzz target in turn: fuzz.sh DURATION, as in 10m for each.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
duration=$1

found=0
while IFS=: read -r file target; do
	found=1
	echo "== $target in ./$(dirname "$file")"
	"${GO:-go}" test -run='^$' -fuzz="^$target\$" -fuzztime="$duration" "./$(dirname "$file")"
done < <(grep -rEo --include='*_test.go' 'func Fuzz[A-Za-z0-9_]+' . | sed 's/func //' | sort)
if ((found == 0)); then
	echo "There is no fuzz target." >&2
	exit 1
fi
