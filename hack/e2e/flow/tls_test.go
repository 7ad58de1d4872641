package flow

import (
	"crypto/tls"
	"strings"
	"testing"
)

// TestOldTLSIsRefused tries what is older than TLS 1.2 on every port that has TLS.
func TestOldTLSIsRefused(t *testing.T) {
	for name, address := range map[string]string{"the API server": stand.Stack.ExtensionAddress(), "the webhooks": stand.Stack.WebhookAddress()} {
		connect := func(newest uint16) error {
			connection, err := tls.Dial("tcp", address, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: newest, InsecureSkipVerify: true})
			if err != nil {
				return err
			}
			return connection.Close()
		}
		if err := connect(tls.VersionTLS11); err == nil || !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("%s answers TLS 1.1: %v", name, err)
		}
		if err := connect(tls.VersionTLS12); err != nil {
			t.Errorf("%s does not answer TLS 1.2: %v", name, err)
		}
	}
}
