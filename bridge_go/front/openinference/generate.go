// Package openinference is the code of grpc_predict_v2.proto: messages and service of the Open Inference Protocol over gRPC.
// It is generated, and committed so that a build needs no compiler of protobuf; a test asks whether it is current.
package openinference

//go:generate go run ./generate
