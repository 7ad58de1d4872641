package main

import (
	"io"
	"strings"
	"testing"
)

func TestWrongValuesNameTheValidOnes(t *testing.T) {
	for _, test := range []struct {
		name        string
		arguments   []string
		environment map[string]string
		want        []string
	}{
		{name: "a mode that does not exist here", arguments: []string{"--mode=local"}, want: []string{"local", "kube", "test"}},
		{name: "the same by the platform's variable", environment: map[string]string{"MODE": "local"}, want: []string{"MODE", "kube", "test"}},
		{name: "the same by our variable", environment: map[string]string{"AMBIENT_KUBE_MODE": "local"}, want: []string{"AMBIENT_KUBE_MODE", "kube", "test"}},
		{name: "a start policy", arguments: []string{"--start-policy=never"}, want: []string{"on-create", "on-request"}},
		{name: "a namespace policy", arguments: []string{"--namespace-policy=burn"}, want: []string{"retain", "delete"}},
		{name: "no workers", arguments: []string{"--workers=0", "--kubeconfig=/dev/null"}, want: []string{"--workers", "at least 1"}},
		{name: "a certificate without its key", arguments: []string{"--webhook-tls-cert-file=x", "--kubeconfig=/dev/null"}, want: []string{"--webhook-tls-private-key-file"}},
		{name: "two sources of a certificate", arguments: []string{"--webhook-tls-cert-file=x", "--webhook-tls-private-key-file=y", "--certificate-secret=z", "--kubeconfig=/dev/null"}, want: []string{"--certificate-secret"}},
		{name: "an authority that lives too short", arguments: []string{"--certificate-authority-lifetime=1h", "--kubeconfig=/dev/null"}, want: []string{"--certificate-authority-lifetime", "168h1m"}},
		{name: "a kubeconfig that is not there", environment: map[string]string{"KUBECONFIG": "/does/not/exist"}, want: []string{"/does/not/exist"}},
		{name: "an argument", arguments: []string{"surplus"}, want: []string{"surplus"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, value := range test.environment {
				t.Setenv(name, value)
			}
			command := newCommand()
			command.SetArgs(test.arguments)
			command.SetOut(io.Discard)
			err := command.ExecuteContext(t.Context())
			if err == nil {
				t.Fatal("accepted")
			}
			for _, word := range test.want {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not name %s", err, word)
				}
			}
		})
	}
}

func TestEveryOptionHasItsVariable(t *testing.T) {
	usage := newCommand().UsageString()
	for option, variable := range map[string]string{
		"kubeconfig":          "env AMBIENT_KUBE_KUBECONFIG, fallback KUBECONFIG",
		"log-level":           "env AMBIENT_KUBE_LOG_LEVEL, fallback LOG_LEVEL",
		"mode":                "env AMBIENT_KUBE_MODE, fallback MODE",
		"lease-namespace":     "env AMBIENT_KUBE_LEASE_NAMESPACE",
		"health-bind-address": "env AMBIENT_KUBE_HEALTH_BIND_ADDRESS",
	} {
		if !strings.Contains(usage, "--"+option) || !strings.Contains(usage, variable) {
			t.Errorf("the usage does not show --%s with %s", option, variable)
		}
	}
}
