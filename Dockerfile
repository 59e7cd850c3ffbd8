# nestor alone; Envoy comes from its own image (see docker-compose.yaml).
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags=-s -o /nestor ./cmd/nestor

FROM debian:bookworm-slim
# A volume that is mounted here takes the owner along.
RUN useradd --system --uid 65532 nestor && install -d -o nestor /var/lib/nestor /bootstrap
# The slim image trusts nobody; Redis and PostgreSQL over TLS need it.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /nestor /usr/local/bin/nestor
# By number, so that Kubernetes' runAsNonRoot knows that it is not root.
USER 65532
ENV NESTOR_DATA_DIR=/var/lib/nestor
# Processor, Envoy's configuration and health; HTTP port with metrics.
EXPOSE 4001 4002
ENTRYPOINT ["nestor"]
