package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/ambient-code/ambient-kube/hack/process"
)

// Folders below the directory.
const (
	logsFolder = "logs"
	etcdFolder = "etcd"
	pkiFolder  = "pki"
)

// Etcd listens on sockets in its own folder, which is ours alone: it needs
// neither ports nor certificates. The addresses are relative because the path
// of a socket must be shorter than 108 bytes; etcd and its client,
// kube-apiserver, therefore run in that folder.
const (
	etcdSocket = "client.sock"
	peerSocket = "peer.sock"
)

var controllers = []string{
	"namespace-controller",
	"garbage-collector-controller",
	"serviceaccount-controller",
	"root-ca-certificate-publisher-controller",
	"clusterrole-aggregation-controller",
	"resourcequota-controller",
}

func (s *starter) spec(name string, arguments ...string) process.Spec {
	return process.Spec{
		Name: name,
		Path: filepath.Join(s.options.Binaries, name),
		Args: arguments,
		Env:  process.Environment(),
		// Whatever a component writes without being told a place stays with us.
		Directory: filepath.Join(s.options.Directory, etcdFolder),
		LogFile:   filepath.Join(s.options.Directory, logsFolder, name+".log"),
	}
}

func (s *starter) startEtcd(ctx context.Context) (*process.Process, error) {
	folder := filepath.Join(s.options.Directory, etcdFolder)
	socket := filepath.Join(folder, etcdSocket)
	// One that was left by a killed etcd would look like a living one.
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing an old socket: %w", err)
	}
	spec := s.spec(EtcdName,
		"--data-dir="+filepath.Join(folder, "data"),
		"--unsafe-no-fsync",
		"--log-level=warn",
		"--listen-client-urls=unix://"+etcdSocket,
		"--advertise-client-urls=unix://"+etcdSocket,
		"--listen-peer-urls=unix://"+peerSocket,
		"--initial-advertise-peer-urls=unix://"+peerSocket,
		"--initial-cluster=default=unix://"+peerSocket,
	)
	spec.Ready = func(context.Context) error {
		if _, err := os.Stat(socket); err != nil {
			return fmt.Errorf("etcd does not listen: %w", err)
		}
		return nil
	}
	return s.options.Group.Start(ctx, spec)
}

func (s *starter) startAPIServer(ctx context.Context, config *rest.Config) (*process.Process, error) {
	arguments := []string{
		"--etcd-servers=unix://" + etcdSocket,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(s.port),
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.96.0.0/24",
		"--authorization-mode=RBAC",
		"--client-ca-file=" + s.pki.certificateFile("cluster-ca"),
		"--tls-cert-file=" + s.pki.certificateFile("kube-apiserver"),
		"--tls-private-key-file=" + s.pki.keyFile("kube-apiserver"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + s.pki.publicKeyFile("service-account"),
		"--service-account-signing-key-file=" + s.pki.keyFile("service-account"),
		"--requestheader-client-ca-file=" + s.pki.certificateFile("front-proxy-ca"),
		"--requestheader-allowed-names=" + frontProxyName,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-uid-headers=X-Remote-Uid",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + s.pki.certificateFile("front-proxy-client"),
		"--proxy-client-key-file=" + s.pki.keyFile("front-proxy-client"),
		// The aggregator then dials a Service's externalName, which may be on
		// the loopback interface; endpoints may not.
		"--enable-aggregator-routing=false",
	}
	spec := s.spec(APIServerName, slices.Concat(arguments, s.auditArguments(), s.options.APIServerArguments)...)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	spec.Ready = func(ctx context.Context) error {
		answer, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err != nil {
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(answer)))
		}
		return nil
	}
	return s.options.Group.Start(ctx, spec)
}

func (s *starter) startControllerManager(ctx context.Context, config *rest.Config) (*process.Process, error) {
	spec := s.spec(ControllerManagerName,
		"--kubeconfig="+filepath.Join(s.options.Directory, controllerManagerKubeconfigFile),
		"--secure-port=0",
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+s.pki.keyFile("service-account"),
		"--root-ca-file="+s.pki.certificateFile("cluster-ca"),
		"--controllers="+strings.Join(append(slices.Clone(controllers), s.options.Controllers...), ","),
		// A quota of a resource that is discovered later is counted at the next turn.
		"--resource-quota-sync-period=5s",
	)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	// It listens nowhere; its works tell that it works.
	spec.Ready = func(ctx context.Context) error {
		if _, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{}); err != nil {
			return fmt.Errorf("no ServiceAccount was made: %w", err)
		}
		if _, err := client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{}); err != nil {
			return fmt.Errorf("no authority was published: %w", err)
		}
		return nil
	}
	return s.options.Group.Start(ctx, spec)
}

// Folder is where the processes of a control plane in the directory run.
func Folder(directory string) string { return filepath.Join(directory, etcdFolder) }
