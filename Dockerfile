# Barkeep as a static binary of a user without rights. The store is the volume
# /data. See docs/operations.md for how to run it.
FROM node:22-alpine AS dashboard
WORKDIR /src
COPY api/dashboard/package.json api/dashboard/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY api/dashboard ./
RUN npm run -s build

FROM golang:1.26-alpine AS build
ARG VERSION=unknown
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=dashboard /src/dist api/dashboard/dist
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /barkeep ./cmd/barkeep \
 && mkdir -m 0700 /data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /barkeep /barkeep
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
# The network of a container is its own. What may reach it is for -p to say; that
# tokens travel in the clear on it has to be allowed by server.insecure, or
# forbidden by a certificate.
ENV BARKEEP_DATA=/data BARKEEP_SERVER_LISTEN=0.0.0.0:8080
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/barkeep", "doctor", "--offline", "--url", "http://127.0.0.1:8080", "--output", "json"]
ENTRYPOINT ["/barkeep"]
CMD ["serve"]
