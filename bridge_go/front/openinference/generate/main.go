// Command generate writes the Go code of ../grpc_predict_v2.proto anew. It needs no protoc: the file is compiled by
// protocompile, and the generators of protobuf and gRPC are built from the Go module proxy.
//
// usage, in the folder above: go run ./generate
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const source = "grpc_predict_v2.proto"

// The generators: that of messages goes with the module that the bridge is built with.
var generators = []string{
	"google.golang.org/protobuf/cmd/protoc-gen-go",
	"google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
}

func main() {
	log.SetFlags(0)
	file, err := compile()
	if err != nil {
		log.Fatal(err)
	}
	for _, generator := range generators {
		if err := generate(generator, file); err != nil {
			log.Fatalf("%s: %v", generator, err)
		}
	}
}

func compile() (*descriptorpb.FileDescriptorProto, error) {
	compiler := protocompile.Compiler{
		Resolver: &protocompile.SourceResolver{}, SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(context.Background(), source)
	if err != nil {
		return nil, err
	}
	return protodesc.ToFileDescriptorProto(files[0]), nil
}

// generate speaks the protocol of protoc's plugins: a request on standard input, the files on standard output.
func generate(generator string, file *descriptorpb.FileDescriptorProto) error {
	request, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{source}, ProtoFile: []*descriptorpb.FileDescriptorProto{file},
		Parameter: proto.String("paths=source_relative"),
	})
	if err != nil {
		return err
	}
	run := exec.Command("go", "run", generator)
	run.Stdin, run.Stderr = bytes.NewReader(request), os.Stderr
	said, err := run.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(said, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return fmt.Errorf("%s", response.GetError())
	}
	for _, made := range response.File {
		if err := os.WriteFile(made.GetName(), []byte(made.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
