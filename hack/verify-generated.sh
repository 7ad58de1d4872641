#!/usr/bin/env bash
# Fails if the generators would change what is in the tree. The tree then holds
# what they made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

checksums() {
	find apiserver docs \( -name '*.go' -o -name '*.md' \) -print0 | sort -z | xargs -0 cksum
}

before=$(checksums)
make --no-print-directory generate
after=$(checksums)
if [[ $before != "$after" ]]; then
	echo "Generated code was not current; these files changed:" >&2
	diff <(echo "$before") <(echo "$after") | awk '/^[<>]/ { print "  " $NF }' | sort -u >&2
	exit 1
fi
