# MinIO's public images are no longer maintained: the same pinned Go module as on a machine without Docker.
FROM golang:1.27.3-alpine AS build
ARG MINIO=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
ENV CGO_ENABLED=0 GOFLAGS=-trimpath
RUN go install -ldflags="-s -w" "$MINIO"

FROM alpine:3.22.2
COPY --from=build /go/bin/minio /usr/local/bin/minio
RUN adduser -D -u 10001 minio && install -d -o minio -m 0700 /data
USER minio
VOLUME /data
ENTRYPOINT ["minio"]
