#!/usr/bin/env bash
# Names what is missing before anything is built: preflight.sh [cc]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
	printf 'Error: %s\n' "$*" >&2
	exit 1
}

required=$(awk '$1 == "go" { print $2; exit }' go.mod)
go=${GO:-go}

# at_least INSTALLED: INSTALLED, like go1.26.8, is the required Go or newer.
at_least() {
	[[ $1 == go* ]] && [[ $(printf '%s\n%s\n' "$required" "${1#go}" | sort -V | head -n 1) == "$required" ]]
}

path=$(command -v "$go") ||
	fail "$go is missing. Install Go $required or newer: https://go.dev/dl/"
installed=$(cd / && GOTOOLCHAIN=local "$go" env GOVERSION) ||
	fail "$path does not work. Install Go $required or newer: https://go.dev/dl/"
if ! at_least "$installed"; then
	# A Go that is not too old fetches the right one by itself, if it may.
	chosen=$("$go" env GOVERSION 2>/dev/null) || chosen=
	at_least "$chosen" ||
		fail "${installed:-an unknown version} at $path is too old. Install Go $required or newer: https://go.dev/dl/"
fi

for tool in "$@"; do
	case $tool in
	cc)
		compiler=$("$go" env CC)
		command -v "${compiler%% *}" >/dev/null ||
			fail "the C compiler ${compiler%% *} is missing. The race detector needs one; install gcc or set CC."
		;;
	*)
		command -v "$tool" >/dev/null || fail "$tool is missing."
		;;
	esac
done
