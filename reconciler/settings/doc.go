// Package settings projects ProjectSettings: the groups that may use a project
// become RoleBindings in its namespace, and the platform's own settings, where there
// are any, say the same. Access that is taken away is revoked whatever hinders that
// any is granted, and all of it when the settings or their project are gone.
//
// It owns the RoleBindings that bear its label, and of the platform's settings
// the groups and the repositories; it removes RoleBindings that the platform's
// operator made of them and that they ask for no more. It touches nothing else.
// It must not know how a namespace comes to be a project's.
package settings
