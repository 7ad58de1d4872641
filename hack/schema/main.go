// Command schema prints the OpenAPI v2 document of the API types' definitions,
// from which the generator of apply configurations learns list types and keys.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/ambient-code/ambient-kube/apiserver/openapi"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

func run() error {
	generated := openapi.GetOpenAPIDefinitions(func(name string) spec.Ref {
		return spec.MustCreateRef("#/definitions/" + name)
	})
	definitions := make(spec.Definitions, len(generated))
	for name, definition := range generated {
		definitions[name] = definition.Schema
		if v2, found := definition.Schema.Extensions[common.ExtensionV2Schema].(spec.Schema); found {
			definitions[name] = v2
		}
	}
	document := spec.Swagger{SwaggerProps: spec.SwaggerProps{
		Swagger:     "2.0",
		Info:        &spec.Info{InfoProps: spec.InfoProps{Title: "ambient.io", Version: "unversioned"}},
		Definitions: definitions,
	}}
	if err := json.NewEncoder(os.Stdout).Encode(document); err != nil {
		return fmt.Errorf("encoding definitions: %w", err)
	}
	return nil
}
