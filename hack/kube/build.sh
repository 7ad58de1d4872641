#!/usr/bin/env bash
# Builds the control plane and kubectl from source: build.sh DIRECTORY
# Shows how far it is, for a first build is long, and the end of the log when it
# fails.
set -euo pipefail
output=$1
mkdir -p "$output"
output=$(cd "$output" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")"

version=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' go.mod)
number=${version#v}
major=${number%%.*}
minor=${number#*.}
minor=${minor%%.*}
# Without these, the server calls itself v0.0.0-master and `kubectl version` fails.
linker='-s -w'
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
	linker+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
	linker+=" -X $package.gitCommit=0000000000000000000000000000000000000000 -X $package.gitTreeState=clean"
done

log=$output/build.log
echo "Building etcd, kube-apiserver, kube-controller-manager and kubectl $version from source."
echo "The first time, this takes 10 to 15 minutes; later, seconds. Log: $log"

export CGO_ENABLED=0 GOFLAGS='-buildvcs=false -trimpath -tags=grpcnotrace'
"${GO:-go}" build -v -ldflags "$linker" -o "$output/" \
	./etcd k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager k8s.io/kubernetes/cmd/kubectl \
	>"$log" 2>&1 &
build=$!
trap 'kill "$build" 2>/dev/null || true' EXIT

started=$SECONDS
next=15
while kill -0 "$build" 2>/dev/null; do
	sleep 1
	elapsed=$((SECONDS - started))
	if ((elapsed >= next)); then
		printf '  %2d:%02d  %d packages compiled\n' $((elapsed / 60)) $((elapsed % 60)) "$(wc -l <"$log")"
		next=$((elapsed + 15))
	fi
done

code=0
wait "$build" || code=$?
elapsed=$((SECONDS - started))
if ((code != 0)); then
	echo "FAILED: building the control plane. The last 20 lines of the log:" >&2
	tail -n 20 "$log" | sed 's/^/  /' >&2
	echo "Log: $log" >&2
	exit 1
fi
printf 'Built in %d:%02d.\n' $((elapsed / 60)) $((elapsed % 60))
