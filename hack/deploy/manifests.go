package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// programs are the names of our images, without registry and tag.
var programs = []string{"ambient-kube-apiserver", "ambient-kube-reconciler", "ambientd"}

// folder is where the overlay is.
func (d *deployment) folder() (string, error) {
	all := filepath.Join(d.repository, "manifests", "overlays")
	entries, err := os.ReadDir(all)
	if err != nil {
		return "", fmt.Errorf("looking for overlays: %w", err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	named := strings.TrimPrefix(d.overlay, "overlays/")
	switch {
	case d.overlay == "":
		return "", fmt.Errorf("say which overlay: OVERLAY=%s, or the path of a kustomization of yours", strings.Join(names, ", OVERLAY="))
	case slices.Contains(names, named):
		return filepath.Join(all, named), nil
	}
	if _, err := os.Stat(filepath.Join(d.overlay, "kustomization.yaml")); err != nil {
		return "", fmt.Errorf("%s is none of %s, and no kustomization of yours: %w", d.overlay, strings.Join(names, ", "), err)
	}
	return d.overlay, nil
}

// render returns the manifests of the overlay with the wanted images.
func (d *deployment) render(ctx context.Context) ([]*unstructured.Unstructured, error) {
	folder, err := d.folder()
	if err != nil {
		return nil, err
	}
	if d.tag == "latest" {
		return nil, errors.New("IMAGE_TAG=latest does not say what runs, and is another image tomorrow: name a release")
	}
	objects, err := d.kustomize(ctx, folder)
	if err != nil || (d.registry == "" && d.tag == "") {
		return objects, err
	}
	images, err := imagesOf(objects)
	if err != nil {
		return nil, err
	}
	return d.retag(ctx, folder, images)
}

func (d *deployment) kustomize(ctx context.Context, folder string) ([]*unstructured.Unstructured, error) {
	text, err := d.run(ctx, nil, "kustomize", folder)
	if err != nil {
		return nil, err
	}
	return parse(text)
}

// parse reads the documents of a YAML text.
func parse(text []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading manifests: %w", err)
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, &object.Object); err != nil {
			return nil, fmt.Errorf("reading a manifest: %w", err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// imagesOf returns the names of our images, without tags, as the objects have them,
// and the program of each.
func imagesOf(objects []*unstructured.Unstructured) (map[string]string, error) {
	found := map[string]string{}
	for _, object := range objects {
		containers, _, err := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
		if err != nil {
			return nil, fmt.Errorf("reading %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		ours := false
		for _, container := range containers {
			fields, ok := container.(map[string]any)
			if !ok {
				continue
			}
			image, _, err := unstructured.NestedString(fields, "image")
			if err != nil {
				return nil, fmt.Errorf("reading %s %s: %w", object.GetKind(), object.GetName(), err)
			}
			// A tag, a digest, or both may follow.
			slash := strings.LastIndexByte(image, '/')
			program, _, _ := strings.Cut(image[slash+1:], "@")
			program, _, _ = strings.Cut(program, ":")
			if slices.Contains(programs, program) {
				found[image[:slash+1]+program] = program
				ours = true
			}
		}
		if name := object.GetName(); !ours && len(containers) > 0 && slices.Contains(programs, name) {
			return nil, fmt.Errorf("no container of %s %s has an image named as one of %s: registry and tag can't be set", object.GetKind(), name, strings.Join(programs, ", "))
		}
	}
	return found, nil
}

// retag lets kustomize give the images another registry and tag.
func (d *deployment) retag(ctx context.Context, folder string, images map[string]string) (objects []*unstructured.Unstructured, err error) {
	// kustomize takes relative paths only, and compares them with real ones.
	temporary, err := os.MkdirTemp("", "ambient-kube-deploy-")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temporary)) }()
	var ends [2]string
	for i, path := range []string{temporary, folder} {
		if ends[i], err = filepath.Abs(path); err == nil {
			ends[i], err = filepath.EvalSymlinks(ends[i])
		}
		if err != nil {
			return nil, fmt.Errorf("finding the overlay: %w", err)
		}
	}
	relative, err := filepath.Rel(ends[0], ends[1])
	if err != nil {
		return nil, fmt.Errorf("finding the overlay: %w", err)
	}
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- " + relative + "\nimages:\n"
	for _, name := range slices.Sorted(maps.Keys(images)) {
		text += fmt.Sprintf("- name: %q\n", name)
		if d.registry != "" {
			text += fmt.Sprintf("  newName: %q\n", strings.TrimSuffix(d.registry, "/")+"/"+images[name])
		}
		if d.tag != "" {
			text += fmt.Sprintf("  newTag: %q\n", d.tag)
		}
	}
	if err := os.WriteFile(filepath.Join(temporary, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("writing a kustomization: %w", err)
	}
	return d.kustomize(ctx, temporary)
}

// encode is the opposite of parse.
func encode(objects []*unstructured.Unstructured) ([]byte, error) {
	var text []byte
	for i, object := range objects {
		document, err := yaml.Marshal(object.Object)
		if err != nil {
			return nil, fmt.Errorf("encoding %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		if i > 0 {
			text = append(text, "---\n"...)
		}
		text = append(text, document...)
	}
	return text, nil
}
