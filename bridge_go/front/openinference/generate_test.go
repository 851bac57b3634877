package openinference

import (
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
)

func TestTheGeneratedCodeIsOfTheFileBesideIt(t *testing.T) {
	const source = "grpc_predict_v2.proto"
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{}}
	files, err := compiler.Compile(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	written := protodesc.ToFileDescriptorProto(files[0])
	made := protodesc.ToFileDescriptorProto(File_grpc_predict_v2_proto)
	if !proto.Equal(written, made) {
		t.Errorf("%s has changed. Run: go generate ./bridge_go/front/openinference", source)
	}
}
