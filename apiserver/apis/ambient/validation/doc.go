// Package validation owns the rules that objects of the group ambient.io obey,
// with the exact path of each field that breaks one.
//
// On update only what changes is validated: the upstream takes almost anything,
// and an object that already breaks a rule must stay editable. The package knows
// nothing of the upstream's messages, of requests and of users; what depends on
// the requesting user is the registry's concern.
package validation
