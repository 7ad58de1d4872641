package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	namespace    = "ambient-system"
	fieldManager = "ambient-kube-deploy"
	// reconciler needs our API, which is registered only when it is served.
	reconciler = "ambient-kube-reconciler"
)

// deployment is an overlay on a cluster.
type deployment struct {
	out                                         io.Writer
	repository, overlay, registry, tag, kubectl string
	timeout                                     time.Duration
}

func (d *deployment) say(format string, arguments ...any) {
	fmt.Fprintf(d.out, format+"\n", arguments...)
}

// run runs kubectl and returns what it printed.
func (d *deployment) run(ctx context.Context, input []byte, arguments ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout+10*time.Second)
	defer cancel()
	var output, complaints bytes.Buffer
	command := exec.CommandContext(ctx, d.kubectl, arguments...)
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(input), &output, &complaints
	if err := command.Run(); err != nil {
		return output.Bytes(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(arguments, " "), err, strings.TrimSpace(complaints.String()))
	}
	return output.Bytes(), nil
}

func (d *deployment) print(ctx context.Context) error {
	objects, err := d.render(ctx)
	if err != nil {
		return err
	}
	text, err := encode(objects)
	if err != nil {
		return err
	}
	if _, err := d.out.Write(text); err != nil {
		return fmt.Errorf("printing the manifests: %w", err)
	}
	return nil
}

func (d *deployment) apply(ctx context.Context) error {
	objects, err := d.render(ctx)
	if err != nil {
		return err
	}
	byStage := inStages(objects)
	for at, batch := range byStage {
		if stage(at) == running {
			if err := d.prepare(ctx, objects); err != nil {
				return err
			}
		}
		if len(batch) > 0 {
			d.say("applying %s", stage(at))
			if err := d.send(ctx, batch); err != nil {
				return err
			}
		}
		if err := d.await(ctx, stage(at), batch); err != nil {
			return err
		}
	}
	for _, program := range byStage[running] {
		if err := d.rollout(ctx, program); err != nil {
			return err
		}
	}
	d.say("deployed")
	return nil
}

func (d *deployment) send(ctx context.Context, batch []*unstructured.Unstructured) error {
	text, err := encode(batch)
	if err != nil {
		return err
	}
	_, err = d.run(ctx, text, "apply", "--server-side", "--force-conflicts", "--field-manager="+fieldManager, "--validate=strict", "-f", "-")
	return err
}

// await waits for what the next stage needs of this one.
func (d *deployment) await(ctx context.Context, at stage, batch []*unstructured.Unstructured) error {
	for _, object := range batch {
		var err error
		switch {
		case object.GetKind() == "CustomResourceDefinition":
			_, err = d.run(ctx, nil, "wait", "--for=condition=Established", "--timeout="+d.timeout.String(), "customresourcedefinition/"+object.GetName())
		case at == running && object.GetName() != reconciler:
			err = d.rollout(ctx, object)
		case at == api:
			d.say("waiting until kube-apiserver reaches it")
			_, err = d.run(ctx, nil, "wait", "--for=condition=Available", "--timeout="+d.timeout.String(), "apiservice/"+object.GetName())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *deployment) rollout(ctx context.Context, program *unstructured.Unstructured) error {
	d.say("waiting for %s", program.GetName())
	kind := strings.ToLower(program.GetKind())
	_, err := d.run(ctx, nil, "rollout", "status", "--timeout="+d.timeout.String(), "-n", program.GetNamespace(), kind+"/"+program.GetName())
	return err
}

func (d *deployment) remove(ctx context.Context) error {
	objects, err := d.render(ctx)
	if err != nil {
		return err
	}
	for _, step := range removals(objects) {
		if len(step.objects) == 0 {
			continue
		}
		d.say("removing %s", step.name)
		text, err := encode(step.objects)
		if err != nil {
			return err
		}
		// In the foreground: a Deployment is gone when its pods are.
		if _, err := d.run(ctx, text, "delete", "--ignore-not-found", "--wait", "--cascade=foreground", "--timeout="+d.timeout.String(), "-f", "-"); err != nil {
			return err
		}
	}
	d.say("removed; the platform's definitions and the projects' namespaces stay")
	return nil
}
