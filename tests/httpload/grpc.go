package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"ds-runner.dev/ds-runner/bridge_go/front/openinference"
)

// grpcLink is a connection of HTTP/2 on which rows are sent as whole events of the Open Inference Protocol: grpc://HOST:PORT/MODEL.
// It is none of grpc-go's clients, for these send a call again by themselves.
type grpcLink struct {
	*h2
	model string
}

func dialGRPC(at *url.URL) (link, error) {
	plain := &url.URL{Scheme: "http", Host: at.Host, Path: openinference.GRPCInferenceService_ModelInfer_FullMethodName}
	made, err := dialHTTP2(plain)
	if err != nil {
		return nil, err
	}
	return &grpcLink{made.(*h2), strings.Trim(at.Path, "/")}, nil
}

func (g *grpcLink) ask(row []byte, deadline time.Time) (answered, error) {
	message, err := g.message(row)
	if err != nil {
		return answered{}, err
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	asked, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url, bytes.NewReader(message))
	if err != nil {
		return answered{}, err
	}
	asked.Header.Set("Content-Type", "application/grpc")
	asked.Header.Set("TE", "trailers")
	got, err := g.conn.RoundTrip(asked)
	if err != nil {
		return answered{}, notTaken(err)
	}
	defer got.Body.Close()
	data, err := io.ReadAll(got.Body)
	if err != nil {
		return answered{}, err
	}
	return outcome(got, data)
}

// message is a row as one element of the tensor event, behind the five bytes that stand before a message.
func (g *grpcLink) message(row []byte) ([]byte, error) {
	message, err := proto.Marshal(&openinference.ModelInferRequest{
		ModelName: g.model,
		Inputs: []*openinference.ModelInferRequest_InferInputTensor{{Name: "event", Datatype: "BYTES", Shape: []int64{1},
			Contents: &openinference.InferTensorContents{BytesContents: [][]byte{row}}}},
		Outputs: []*openinference.ModelInferRequest_InferRequestedOutputTensor{{Name: "event"}},
	})
	head := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(head, message...), err
}

// Statuses of HTTP for codes of gRPC, as the front has them.
var statuses = map[int]int{0: 200, 1: 499, 3: 400, 4: 504, 5: 404, 8: 429, 14: 503, 16: 401}

// outcome is the event of an answer, or the status of a failure. An answer without a status of gRPC was cut off.
func outcome(got *http.Response, data []byte) (answered, error) {
	said := got.Trailer.Get("Grpc-Status") + got.Header.Get("Grpc-Status") // in the header where there is nothing else
	code, err := strconv.Atoi(said)
	if err != nil {
		return answered{}, fmt.Errorf("no grpc-status: %d %q", got.StatusCode, said)
	}
	status, known := statuses[code]
	if !known {
		status = http.StatusInternalServerError
	}
	if code != 0 {
		return answered{status, []byte(got.Trailer.Get("Grpc-Message") + got.Header.Get("Grpc-Message"))}, nil
	}
	var answer openinference.ModelInferResponse
	if len(data) < 5 {
		return answered{}, fmt.Errorf("an answer of %d bytes", len(data))
	}
	if err := proto.Unmarshal(data[5:], &answer); err != nil {
		return answered{}, err
	}
	if len(answer.Outputs) != 1 || len(answer.Outputs[0].GetContents().GetBytesContents()) != 1 {
		return answered{}, fmt.Errorf("an answer of other tensors: %v", &answer)
	}
	return answered{status, answer.Outputs[0].Contents.BytesContents[0]}, nil
}
