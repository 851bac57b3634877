# The bridge: one static binary, no shell, not root.
#   docker build -f deploy/bridge.Dockerfile -t ds-bridge .
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY bridge_go bridge_go
ARG VERSION=dev
RUN CGO_ENABLED=0 GOTOOLCHAIN=local go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" \
    -o /ds-bridge ./bridge_go/cmd/ds-bridge

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /ds-bridge /ds-bridge
USER 65532:65532
# 7400 the wire (loopback only), 7401 metrics, 8080 the HTTP API
EXPOSE 7401 8080
ENTRYPOINT ["/ds-bridge"]
CMD ["run", "--help"]
