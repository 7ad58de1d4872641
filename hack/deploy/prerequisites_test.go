package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const mounting = `apiVersion: apps/v1
kind: Deployment
metadata: {name: ambient-kube-apiserver}
spec:
  template:
    spec:
      volumes:
      - {name: token, secret: {secretName: ambient-upstream-token}}
      - {name: authority, configMap: {name: ambient-upstream-ca}}
`

const shippedAuthority = `---
apiVersion: v1
kind: ConfigMap
metadata: {name: ambient-upstream-ca}
`

const embedded = `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ambientd}
`

// What people have to make is asked for by name before a program waits for it.
func TestWhatPodsMountIsThereFirst(t *testing.T) {
	for name, test := range map[string]struct {
		manifests, there string
		// complaint is part of the error, asked what kubectl is asked, by their verbs.
		complaint, asked string
	}{
		"nothing is mounted":   {manifests: embedded},
		"all is there":         {manifests: mounting, there: "ConfigMap Secret", asked: "get get"},
		"no authority":         {manifests: mounting, there: "Secret", complaint: "create configmap ambient-upstream-ca", asked: "get"},
		"no token":             {manifests: mounting, there: "ConfigMap", complaint: "create secret generic ambient-upstream-token", asked: "get get"},
		"a shipped authority":  {manifests: mounting + shippedAuthority, there: "Secret", asked: "get"},
		"an embedded upstream": {manifests: mounting + shippedAuthority + embedded, asked: "get create"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			log := filepath.Join(folder, "log")
			script := "#!/bin/sh\necho \"$1\" >>" + log + "\ncase \"$1 " + test.there + "\" in get*\"$2\"*) echo found;; esac\n"
			kubectl := filepath.Join(folder, "kubectl")
			if err := os.WriteFile(kubectl, []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			objects, err := parse([]byte(test.manifests))
			if err != nil {
				t.Fatal(err)
			}
			d := &deployment{out: io.Discard, kubectl: kubectl, timeout: time.Minute}
			err = d.prepare(t.Context(), objects)
			if (err != nil) != (test.complaint != "") || err != nil && !strings.Contains(err.Error(), test.complaint) {
				t.Errorf("got %v, want %q", err, test.complaint)
			}
			verbs, err := os.ReadFile(log)
			if err != nil && test.asked != "" {
				t.Fatal(err)
			}
			if got := strings.Join(strings.Fields(string(verbs)), " "); got != test.asked {
				t.Errorf("kubectl was asked to %q, want %q", got, test.asked)
			}
		})
	}
}
