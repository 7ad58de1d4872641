// Package crd holds the development definitions of the platform's custom
// resources, AgenticSession and ProjectSettings of group vteam.ambient-code, as
// they are installed where the platform itself isn't. It must not know who
// installs or uses them.
package crd

import "embed"

// Files holds agenticsessions.yaml and projectsettings.yaml, each one
// CustomResourceDefinition.
//
//go:embed agenticsessions.yaml projectsettings.yaml
var Files embed.FS
