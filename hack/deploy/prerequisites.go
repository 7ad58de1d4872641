package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	// tokenSecret holds the token that the upstream knows our API server by.
	tokenSecret = "ambient-upstream-token"
	// authorityConfigMap holds the authority that the upstream's certificate is
	// checked against.
	authorityConfigMap = "ambient-upstream-ca"
	// upstream is the embedded upstream, for trials.
	upstream = "ambientd"
)

// prepare makes sure that what the pods mount and no manifest holds is there. Without
// it they would wait for ever, and with the API registered the whole cluster for them.
// For the embedded upstream it makes a token, for another it says what to type.
func (d *deployment) prepare(ctx context.Context, objects []*unstructured.Unstructured) error {
	volumes, err := volumesOf(objects)
	if err != nil {
		return err
	}
	needs := func(kind, name string, mounts func(corev1.Volume) bool) (bool, error) {
		shipped := func(object *unstructured.Unstructured) bool {
			return object.GetKind() == kind && object.GetName() == name
		}
		if !slices.ContainsFunc(volumes, mounts) || slices.ContainsFunc(objects, shipped) {
			return false, nil
		}
		found, err := d.run(ctx, nil, "get", kind, name, "-n", namespace, "--ignore-not-found", "-o", "name")
		return len(found) == 0, err
	}
	lacking, err := needs("ConfigMap", authorityConfigMap, func(volume corev1.Volume) bool {
		return volume.ConfigMap != nil && volume.ConfigMap.Name == authorityConfigMap
	})
	if err != nil {
		return err
	}
	if lacking {
		return fmt.Errorf("there is no authority to check the upstream's certificate against; make the ConfigMap and try again: kubectl -n %s create configmap %s --from-file=ca.crt=FILE", namespace, authorityConfigMap)
	}
	lacking, err = needs("Secret", tokenSecret, func(volume corev1.Volume) bool {
		return volume.Secret != nil && volume.Secret.SecretName == tokenSecret
	})
	if err != nil || !lacking {
		return err
	}
	embedded := slices.ContainsFunc(objects, func(object *unstructured.Unstructured) bool {
		return object.GetKind() == "Deployment" && object.GetName() == upstream
	})
	if !embedded {
		return fmt.Errorf("there is no token for the upstream; make the Secret and try again: kubectl -n %s create secret generic %s --from-file=token=FILE", namespace, tokenSecret)
	}
	d.say("making a token for the embedded upstream")
	secret := make([]byte, 20)
	rand.Read(secret) // never fails
	// By a file on standard input: arguments are visible to other processes.
	_, err = d.run(ctx, []byte(hex.EncodeToString(secret)), "create", "secret", "generic", tokenSecret, "-n", namespace, "--from-file=token=/dev/stdin")
	return err
}

// volumesOf returns the volumes of the pods of all Deployments.
func volumesOf(objects []*unstructured.Unstructured) ([]corev1.Volume, error) {
	var volumes []corev1.Volume
	for _, object := range objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		var deployment appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &deployment); err != nil {
			return nil, fmt.Errorf("reading Deployment %s: %w", object.GetName(), err)
		}
		volumes = append(volumes, deployment.Spec.Template.Spec.Volumes...)
	}
	return volumes, nil
}
