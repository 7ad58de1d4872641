// Package harness is what the end-to-end tests share: one running stand for each
// test package, clients of all its sides (kubectl, client-go, plain HTTP, the
// upstream's gRPC), waiting on conditions, and the check of every process's log
// at the end.
//
// It must not know what is tested. Test packages call Main from TestMain.
package harness
