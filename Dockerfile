# What a machine needs is known to `cargo xtask setup` alone; this file lists no package.
#
#   docker build --target postgres-with-extension -t quote-collab-postgres .
#   docker build --target gateway -t quote-collab-gateway .

FROM rust:1.95-bookworm AS setup
WORKDIR /src
COPY . .
RUN cargo xtask setup --run

FROM setup AS build
RUN cargo xtask build

# The same major version as in setup: an extension is compiled for one.
FROM postgres:15-bookworm AS postgres-with-extension
COPY --from=build /src/target/extensions/15/usr /usr
CMD ["postgres", "-c", "shared_preload_libraries=quote_collab_ext"]

FROM debian:bookworm-slim AS gateway
COPY --from=build /src/target/release/gateway /usr/local/bin/gateway
USER nobody
ENV HOST=0.0.0.0 PORT=3000
EXPOSE 3000
ENTRYPOINT ["gateway"]
