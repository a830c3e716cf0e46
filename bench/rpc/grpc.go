package rpc

import (
	"context"
	"encoding/json"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/enoki-go/enoki/bench/harness"
)

// jsonCodec has gRPC and Connect carry the document as JSON.
type jsonCodec struct{}

func (jsonCodec) Name() string                       { return "json" }
func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// grpcStore is the description that protoc would have generated.
var grpcStore = grpc.ServiceDesc{
	ServiceName: "bench.Store", HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Put", Handler: answerGRPC}},
}

func answerGRPC(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var d Document
	if err := decode(&d); err != nil {
		return nil, err
	}
	return &d, nil
}

func serveGRPC(_ context.Context, _ *harness.Work) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := grpc.NewServer(grpc.ForceServerCodec(jsonCodec{}))
	server.RegisterService(&grpcStore, struct{}{})
	go func() { _ = server.Serve(l) }() // it ends with the process
	return l.Addr().String(), nil
}

func dialGRPC(_ context.Context, w *harness.Work) (harness.Operation, error) {
	conn, err := grpc.NewClient(w.Address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(jsonCodec{})))
	if err != nil {
		return nil, err
	}
	return sending(w, func(ctx context.Context, d Document) (Document, error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		var back Document
		err := conn.Invoke(ctx, "/bench.Store/Put", &d, &back)
		return back, err
	})
}
