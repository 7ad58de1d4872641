// Package openapi holds the generated OpenAPI definitions of the API types.
package openapi
