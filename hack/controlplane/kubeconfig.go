package controlplane

import (
	"fmt"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ambient-code/ambient-kube/certs"
	"github.com/ambient-code/ambient-kube/hack/ports"
)

const (
	kubeconfigFile                  = "kubeconfig"
	controllerManagerKubeconfigFile = "kube-controller-manager.kubeconfig"
	clusterName                     = "ambient-kube"
)

// Kubeconfig is the path of the administrator's kubeconfig of a control plane in the
// directory.
func Kubeconfig(directory string) string { return filepath.Join(directory, kubeconfigFile) }

// WriteKubeconfig writes a kubeconfig with one cluster and one user.
func WriteKubeconfig(path, server string, certificateAuthorityData []byte, user *clientcmdapi.AuthInfo) error {
	config := clientcmdapi.NewConfig()
	config.Clusters[clusterName] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: certificateAuthorityData}
	config.AuthInfos["user"] = user
	config.Contexts[clusterName] = &clientcmdapi.Context{Cluster: clusterName, AuthInfo: "user"}
	config.CurrentContext = clusterName
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("writing kubeconfig %s: %w", path, err)
	}
	return nil
}

func (s *starter) writeKubeconfigs() error {
	for file, leaf := range map[string]certs.Leaf{
		kubeconfigFile:                  {CommonName: adminName, Organizations: []string{administratorRole}},
		controllerManagerKubeconfigFile: {CommonName: "system:kube-controller-manager"},
	} {
		leaf.Usage, leaf.Lifetime = certs.Client, leafLifetime
		pair, err := s.pki.cluster.Issue(leaf)
		if err != nil {
			return err
		}
		user := &clientcmdapi.AuthInfo{ClientCertificateData: pair.CertificatePEM, ClientKeyData: pair.KeyPEM}
		path := filepath.Join(s.options.Directory, file)
		if err := WriteKubeconfig(path, "https://"+ports.Address(s.port), s.pki.cluster.CertificatePEM(), user); err != nil {
			return err
		}
	}
	return nil
}
