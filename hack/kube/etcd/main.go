// Command etcd is the storage of the development control plane, built from the
// same module line that the Kubernetes client of etcd uses.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
