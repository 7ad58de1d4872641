package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tokenAge is the part of a token's life after which it is replaced.
const tokenAge = 0.8

// token is one of a ServiceAccount, bound to the pod.
type token struct {
	text string
	// renew is when it is asked for again.
	renew time.Time
}

// mount writes the volumes into the root, and writes again what has changed since.
func (w *worker) mount(ctx context.Context) error {
	volumes := map[string]corev1.Volume{}
	for _, volume := range w.pod.Spec.Volumes {
		volumes[volume.Name] = volume
	}
	for _, mount := range w.container.VolumeMounts {
		at := filepath.Join(w.jail.Root, filepath.FromSlash(mount.MountPath))
		volume := volumes[mount.Name]
		if volume.EmptyDir != nil {
			if err := w.emptyDir(at); err != nil {
				return fmt.Errorf("volume %s: %w", mount.Name, err)
			}
			continue
		}
		files, err := w.contents(ctx, volume)
		if err != nil {
			return fmt.Errorf("volume %s: %w", mount.Name, err)
		}
		for name, content := range files {
			if err := w.write(filepath.Join(at, filepath.FromSlash(name)), content); err != nil {
				return fmt.Errorf("volume %s: %w", mount.Name, err)
			}
		}
	}
	hosts, err := w.node.network.Hosts()
	if err != nil {
		return err
	}
	return w.write(filepath.Join(w.jail.Root, "etc", "hosts"), []byte(hosts))
}

// emptyDir is a folder that the container's user may write, made once.
func (w *worker) emptyDir(at string) error {
	if _, err := os.Stat(at); err == nil {
		return nil
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		return fmt.Errorf("making an empty folder: %w", err)
	}
	if err := w.give(at); err != nil {
		return err
	}
	return w.bring(at)
}

// give makes a file the container's user's, unless all are ours anyway.
func (w *worker) give(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if err := os.Chown(path, int(w.jail.User), int(w.jail.Group)); err != nil {
		return fmt.Errorf("giving a file to the container's user: %w", err)
	}
	return nil
}

// write puts a file where it is not yet as it is to be, at once, readable for the
// container's user alone.
func (w *worker) write(path string, content []byte) error {
	held, err := os.ReadFile(path)
	if err == nil && bytes.Equal(held, content) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading a file of a volume: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making a folder of a volume: %w", err)
	}
	return replace(path, content, 0o400, w.give)
}

// replace puts a file in the place of the one at path, at once, after it was given to
// whom it is for.
func replace(path string, content []byte, mode os.FileMode, give func(path string) error) error {
	fresh := path + ".new"
	file, err := os.OpenFile(fresh, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return fmt.Errorf("writing a file of a volume: %w", err)
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("writing a file of a volume: %w", err)
	}
	if err := give(fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("writing a file of a volume: %w", err)
	}
	return nil
}

// contents are the files of a volume.
func (w *worker) contents(ctx context.Context, volume corev1.Volume) (map[string][]byte, error) {
	switch {
	case volume.Secret != nil:
		return w.secret(ctx, volume.Secret.SecretName, volume.Secret.Items)
	case volume.ConfigMap != nil:
		return w.configMap(ctx, volume.ConfigMap.Name, volume.ConfigMap.Items)
	case volume.Projected != nil:
		result := map[string][]byte{}
		for _, source := range volume.Projected.Sources {
			files, err := w.projected(ctx, source)
			if err != nil {
				return nil, err
			}
			for name, content := range files {
				result[name] = content
			}
		}
		return result, nil
	}
	return nil, errors.New("this kind of volume is not known here")
}

func (w *worker) projected(ctx context.Context, source corev1.VolumeProjection) (map[string][]byte, error) {
	switch {
	case source.ServiceAccountToken != nil:
		text, err := w.accountToken(ctx, source.ServiceAccountToken)
		return map[string][]byte{source.ServiceAccountToken.Path: []byte(text)}, err
	case source.ConfigMap != nil:
		return w.configMap(ctx, source.ConfigMap.Name, source.ConfigMap.Items)
	case source.Secret != nil:
		return w.secret(ctx, source.Secret.Name, source.Secret.Items)
	case source.DownwardAPI != nil:
		result := map[string][]byte{}
		for _, item := range source.DownwardAPI.Items {
			value, err := w.field(item.FieldRef.FieldPath)
			if err != nil {
				return nil, err
			}
			result[item.Path] = []byte(value)
		}
		return result, nil
	}
	return nil, errors.New("this projection is not known here")
}

func (w *worker) accountToken(ctx context.Context, wanted *corev1.ServiceAccountTokenProjection) (string, error) {
	held := w.tokens[wanted.Path]
	if time.Now().Before(held.renew) {
		return held.text, nil
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: wanted.ExpirationSeconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: w.pod.Name, UID: w.pod.UID},
	}}
	if wanted.Audience != "" {
		request.Spec.Audiences = []string{wanted.Audience}
	}
	answer, err := w.node.Client.CoreV1().ServiceAccounts(w.pod.Namespace).CreateToken(ctx, w.pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("asking for a token of ServiceAccount %s: %w", w.pod.Spec.ServiceAccountName, err)
	}
	life := time.Until(answer.Status.ExpirationTimestamp.Time)
	w.tokens[wanted.Path] = token{answer.Status.Token, time.Now().Add(time.Duration(tokenAge * float64(life)))}
	return answer.Status.Token, nil
}

func (w *worker) secret(ctx context.Context, name string, items []corev1.KeyToPath) (map[string][]byte, error) {
	held, err := w.node.Client.CoreV1().Secrets(w.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading a Secret: %w", err)
	}
	return chosen(held.Data, items)
}

func (w *worker) configMap(ctx context.Context, name string, items []corev1.KeyToPath) (map[string][]byte, error) {
	held, err := w.node.Client.CoreV1().ConfigMaps(w.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading a ConfigMap: %w", err)
	}
	data := map[string][]byte{}
	for key, value := range held.Data {
		data[key] = []byte(value)
	}
	return chosen(data, items)
}

// chosen returns the files of the items, or all.
func chosen(data map[string][]byte, items []corev1.KeyToPath) (map[string][]byte, error) {
	if len(items) == 0 {
		return data, nil
	}
	result := map[string][]byte{}
	for _, item := range items {
		content, found := data[item.Key]
		if !found {
			return nil, fmt.Errorf("the key %s is missing", item.Key)
		}
		result[item.Path] = content
	}
	return result, nil
}
