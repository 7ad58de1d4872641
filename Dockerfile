# An image of one of our programs, built from source:
#
#   docker build --build-arg PROGRAM=ambient-kube-apiserver --build-arg VERSION=v0.1.0 .
#
# `make images` builds all of them, for several architectures, from binaries that
# make has built: see Dockerfile.prebuilt.
ARG GO_IMAGE=registry.access.redhat.com/ubi9/go-toolset:1.26
ARG BASE_IMAGE=registry.access.redhat.com/ubi9/ubi-minimal:9.6

FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
ARG PROGRAM
ARG VERSION=v0.0.0-unknown
ARG TARGETOS=linux
ARG TARGETARCH=amd64
USER 0
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY apiserver/ apiserver/
COPY certs/ certs/
COPY cmd/ cmd/
COPY reconciler/ reconciler/
COPY release/ release/
COPY statuspage/ statuspage/
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} go build -buildvcs=false -trimpath -tags=grpcnotrace \
    -ldflags "-s -w -X github.com/ambient-code/ambient-kube/release.version=${VERSION} -X k8s.io/client-go/pkg/version.gitVersion=${VERSION}" \
    -o /program ./cmd/${PROGRAM}

FROM ${BASE_IMAGE}
ARG PROGRAM
ARG VERSION=v0.0.0-unknown
LABEL org.opencontainers.image.title="${PROGRAM}"
LABEL org.opencontainers.image.version="${VERSION}"
LABEL org.opencontainers.image.description="Sessions, projects and settings of the ambient platform as native Kubernetes resources"
LABEL org.opencontainers.image.source="https://github.com/ambient-code/ambient-kube"
LABEL org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build --chmod=0555 /program /program
COPY --chmod=0444 LICENSE /licenses/LICENSE
USER 1001
ENTRYPOINT ["/program"]
