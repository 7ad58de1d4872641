package node

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// bindings are the options of our programs that say where they listen, by the name
// of the port: with an address alone, or with the port, too.
var bindings = map[string]struct {
	variable string
	withPort bool
}{
	"https":    {"AMBIENT_KUBE_BIND_ADDRESS", false},
	"probes":   {"AMBIENT_KUBE_HEALTH_BIND_ADDRESS", true},
	"webhooks": {"AMBIENT_KUBE_WEBHOOK_BIND_ADDRESS", true},
	"grpc":     {"AMBIENT_KUBE_LISTEN", true},
}

// environment returns what the container's process is given.
func (w *worker) environment(ctx context.Context) (map[string]string, error) {
	result := map[string]string{
		"PATH":                    "/usr/local/bin:/usr/bin:/bin",
		"HOSTNAME":                w.pod.Name,
		"KUBERNETES_SERVICE_HOST": w.node.APIServerHost,
		"KUBERNETES_SERVICE_PORT": w.node.APIServerPort,
	}
	for _, source := range w.container.EnvFrom {
		values, err := w.source(ctx, source)
		if err != nil {
			return nil, err
		}
		maps.Copy(result, values)
	}
	for _, variable := range w.container.Env {
		value := expand(variable.Value, result)
		if variable.ValueFrom != nil {
			var err error
			if value, err = w.valueFrom(ctx, variable.ValueFrom); err != nil {
				return nil, fmt.Errorf("variable %s: %w", variable.Name, err)
			}
		}
		result[variable.Name] = value
	}
	for _, port := range w.container.Ports {
		if binding, known := bindings[port.Name]; known {
			result[binding.variable] = w.local.String()
			if binding.withPort {
				result[binding.variable] = netip.AddrPortFrom(w.local, uint16(port.ContainerPort)).String()
			}
		}
	}
	return result, nil
}

func (w *worker) source(ctx context.Context, source corev1.EnvFromSource) (map[string]string, error) {
	if source.ConfigMapRef == nil {
		return nil, fmt.Errorf("envFrom: only ConfigMaps are known here")
	}
	held, err := w.node.Client.CoreV1().ConfigMaps(w.pod.Namespace).Get(ctx, source.ConfigMapRef.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the environment: %w", err)
	}
	result := map[string]string{}
	for key, value := range held.Data {
		result[source.Prefix+key] = value
	}
	return result, nil
}

func (w *worker) valueFrom(ctx context.Context, source *corev1.EnvVarSource) (string, error) {
	switch {
	case source.FieldRef != nil:
		return w.field(source.FieldRef.FieldPath)
	case source.ConfigMapKeyRef != nil:
		held, err := w.node.Client.CoreV1().ConfigMaps(w.pod.Namespace).Get(ctx, source.ConfigMapKeyRef.Name, metav1.GetOptions{})
		if err != nil {
			return "", fmt.Errorf("reading a value: %w", err)
		}
		return held.Data[source.ConfigMapKeyRef.Key], nil
	}
	return "", fmt.Errorf("this source of a value is not known here")
}

// field is the downward API.
func (w *worker) field(path string) (string, error) {
	switch path {
	case "metadata.name":
		return w.pod.Name, nil
	case "metadata.namespace":
		return w.pod.Namespace, nil
	case "metadata.uid":
		return string(w.pod.UID), nil
	case "spec.nodeName":
		return w.node.Name, nil
	case "spec.serviceAccountName":
		return w.pod.Spec.ServiceAccountName, nil
	case "status.podIP":
		return w.address.String(), nil
	}
	return "", fmt.Errorf("the field %s is not known here", path)
}

// reference is how a value or an argument names a variable.
var reference = regexp.MustCompile(`\$\([A-Za-z_][A-Za-z0-9_]*\)`)

// expand replaces references to known variables; others stay as they are.
func expand(text string, variables map[string]string) string {
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		if value, known := variables[found[2:len(found)-1]]; known {
			return value
		}
		return found
	})
}

// assignments turns variables into what a process takes.
func assignments(variables map[string]string) []string {
	var result []string
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		result = append(result, name+"="+variables[name])
	}
	return result
}

// port returns the number of a port that is named or given.
func (w *worker) port(name string, number int32) (string, error) {
	if number != 0 {
		return strconv.Itoa(int(number)), nil
	}
	for _, port := range w.container.Ports {
		if port.Name == name {
			return strconv.Itoa(int(port.ContainerPort)), nil
		}
	}
	return "", fmt.Errorf("the container has no port %q", name)
}
