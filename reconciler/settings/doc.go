// Package settings projects ProjectSettings: the groups that may use a project
// become RoleBindings in its namespace, and access that is taken away is revoked.
//
// It owns the RoleBindings that bear its label, and touches no others. It must
// not know how a namespace comes to be a project's.
package settings
