# syntax=docker/dockerfile:1

# Compiles src/ to dist/. The compiler is an optional package of its platform, so optional ones stay in this stage.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run prepack

# What runs: no compiler, no tests, and no second Node.
FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts

FROM node:24-slim
# The viewer is fetched with npm into the data volume, the one place that is written to.
ENV NODE_ENV=production npm_config_cache=/data/cache/npm npm_config_update_notifier=false
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json openapi.yaml LICENSE ./
COPY drizzle ./drizzle
# The mapping tables of whoever configures none.
COPY examples/mappings.yaml ./examples/mappings.yaml
RUN install -d -o node -g node /data
USER node
VOLUME /data
EXPOSE 8080
# From inside, so over loopback, whatever else the configuration listens on; needs no credentials.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/healthz').then((it) => process.exit(it.ok ? 0 : 1), () => process.exit(1))"]
# Buffers that are passed on are freed soon: half the processor time of relaying a study, docs/operations.md.
ENTRYPOINT ["node", "--max-semi-space-size=8", "/app/dist/main.js"]
# The configuration is mounted. It has to configure "auth": without it the proxy listens on the container's loopback only.
CMD ["serve", "--config", "/etc/dicomweb-link/config.yaml", "--data-dir", "/data"]
