// Command protogen compiles the .proto files of apiserver/upstream/ambientv1 and
// writes the Go code beside them, with the generators that go.mod pins as tools.
// It needs no protoc and no network. Run it from the root of the repository:
//
//	go run ./hack/protogen
//
// It owns where the files lie and how they are named on the wire; it must not
// know what is in them.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const (
	module = "github.com/ambient-code/ambient-kube"
	// sourceFolder holds the .proto files and receives the generated code.
	sourceFolder = "apiserver/upstream/ambientv1"
	// importPrefix is the folder of the files as the upstream names it, so that
	// descriptors have the same paths on both sides.
	importPrefix = "ambient/v1"
)

// generator is one protoc plugin that go.mod pins as a tool.
type generator struct {
	tool string
	// parameter is what protoc would pass with --<name>_opt.
	parameter string
}

var generators = []generator{
	{tool: "protoc-gen-go", parameter: "module=" + module},
	{tool: "protoc-gen-go-grpc", parameter: "module=" + module},
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	sources, err := filepath.Glob(filepath.Join(sourceFolder, "*.proto"))
	if err != nil {
		return fmt.Errorf("finding the .proto files: %w", err)
	}
	if len(sources) == 0 {
		return fmt.Errorf("no .proto files in %s: run from the root of the repository", sourceFolder)
	}
	sort.Strings(sources)
	names := make([]string, len(sources))
	for i, source := range sources {
		names[i] = path.Join(importPrefix, filepath.Base(source))
	}

	files, err := compile(ctx, names)
	if err != nil {
		return err
	}
	for _, generator := range generators {
		if err := generate(ctx, generator, names, files); err != nil {
			return fmt.Errorf("running %s: %w", generator.tool, err)
		}
	}
	return nil
}

// compile returns the descriptors of the named files and of everything that they
// import, each file after its imports.
func compile(ctx context.Context, names []string) ([]*descriptorpb.FileDescriptorProto, error) {
	contents := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(sourceFolder, path.Base(name)))
		if err != nil {
			return nil, fmt.Errorf("reading the source of %s: %w", name, err)
		}
		contents[name] = string(text)
	}
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
			Accessor: protocompile.SourceAccessorFromMap(contents),
		}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("compiling: %w", err)
	}
	var ordered []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	for _, file := range compiled {
		ordered = appendWithImports(ordered, seen, file)
	}
	return ordered, nil
}

func appendWithImports(ordered []*descriptorpb.FileDescriptorProto, seen map[string]bool, file protoreflect.FileDescriptor) []*descriptorpb.FileDescriptorProto {
	if seen[file.Path()] {
		return ordered
	}
	seen[file.Path()] = true
	imports := file.Imports()
	for i := range imports.Len() {
		ordered = appendWithImports(ordered, seen, imports.Get(i).FileDescriptor)
	}
	return append(ordered, protoutil.ProtoFromFileDescriptor(file))
}

// generate speaks the plugin protocol: one request on standard input, one
// response with the files to write on standard output.
func generate(ctx context.Context, generator generator, names []string, files []*descriptorpb.FileDescriptorProto) error {
	request, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: names,
		Parameter:      proto.String(generator.parameter),
		ProtoFile:      files,
	})
	if err != nil {
		return fmt.Errorf("encoding the request: %w", err)
	}
	command := exec.CommandContext(ctx, "go", "tool", generator.tool)
	command.Stdin = bytes.NewReader(request)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return fmt.Errorf("running %s: %w", generator.tool, err)
	}
	response := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(output, response); err != nil {
		return fmt.Errorf("decoding the response: %w", err)
	}
	if response.Error != nil {
		return errors.New(response.GetError())
	}
	for _, file := range response.File {
		if !strings.HasPrefix(file.GetName(), sourceFolder+"/") {
			return fmt.Errorf("the file %s would lie outside of %s", file.GetName(), sourceFolder)
		}
		if err := os.WriteFile(file.GetName(), []byte(file.GetContent()), 0o644); err != nil {
			return fmt.Errorf("writing generated code: %w", err)
		}
	}
	return nil
}
