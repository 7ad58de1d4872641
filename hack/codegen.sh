#!/usr/bin/env bash
# Generates deepcopy functions, OpenAPI definitions, clientset, listers, informers
# and apply configurations of the API types. Run it through `make generate`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go() { command "${GO:-go}" "$@"; }

module=github.com/ambient-code/ambient-kube
types=$module/apiserver/apis/ambient/v1alpha1
header=hack/boilerplate.go.txt
plurals=ProjectSettings:ProjectSettings

go tool deepcopy-gen --go-header-file "$header" --output-file zz_generated.deepcopy.go "$types"

readonly_packages=()
for package in k8s.io/apimachinery/pkg/apis/meta/v1 k8s.io/apimachinery/pkg/api/resource \
	k8s.io/apimachinery/pkg/runtime k8s.io/apimachinery/pkg/types \
	k8s.io/apimachinery/pkg/util/intstr k8s.io/apimachinery/pkg/version time; do
	readonly_packages+=(--readonly-pkg "$package")
done
go tool openapi-gen --go-header-file "$header" \
	--output-dir apiserver/openapi --output-pkg $module/apiserver/openapi \
	--output-file zz_generated.openapi.go --output-model-name-file zz_generated.model_name.go \
	--report-filename /dev/null "${readonly_packages[@]}" \
	k8s.io/apimachinery/pkg/apis/meta/v1 k8s.io/apimachinery/pkg/runtime \
	k8s.io/apimachinery/pkg/version k8s.io/apimachinery/pkg/api/resource "$types"

# Apply configurations are generated from the published schema, so that their
# Extract functions know which fields are lists with keys.
schema=$(mktemp)
trap 'rm -f "$schema"' EXIT
go run ./hack/schema >"$schema"

client=apiserver/client
rm -rf $client/applyconfiguration $client/versioned $client/listers $client/informers
go tool applyconfiguration-gen --go-header-file "$header" \
	--openapi-schema "$schema" \
	--output-dir $client/applyconfiguration --output-pkg $module/$client/applyconfiguration "$types"
go tool client-gen --go-header-file "$header" --plural-exceptions "$plurals" --clientset-name versioned \
	--input-base $module/apiserver/apis --input ambient/v1alpha1 \
	--apply-configuration-package $module/$client/applyconfiguration \
	--output-dir $client --output-pkg $module/$client
go tool lister-gen --go-header-file "$header" --plural-exceptions "$plurals" --output-dir $client/listers --output-pkg $module/$client/listers "$types"
go tool informer-gen --go-header-file "$header" --plural-exceptions "$plurals" \
	--versioned-clientset-package $module/$client/versioned --listers-package $module/$client/listers \
	--output-dir $client/informers --output-pkg $module/$client/informers "$types"
# The generator names an informer, in metrics, by kind and an s.
sed -i 's/"projectsettingss"/"projectsettings"/' $client/informers/externalversions/ambient/v1alpha1/projectsettings.go
