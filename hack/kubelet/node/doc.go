// Package node stands for a kubelet, and for the scheduler: it runs the pods of a
// cluster as processes of this machine, without a container engine.
//
// A process sees what its container would: the files of its image as the root, its
// volumes with the account's token, its arguments, environment and names of
// Services; it runs as the container's user. Probes decide whether the pod is ready,
// and whether it is started again; the pod's status says so. So the manifests, the
// images and the rights of the accounts are proven as they are.
//
// What it lacks: more than one container in a pod, init containers, limits,
// isolation of networks and processes, and a file system that root could not write.
// A process is told by its own options to listen on the loopback address that
// stands for the pod: see bindings.
package node
