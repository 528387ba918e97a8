// What to do with a token: lines that can be pasted, filled in.

/** A word for a POSIX shell. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_.:/=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** For OpenTelemetry's SDKs. X-Api-Key, because the space of "Bearer <token>" would have to be encoded. */
export function sdkLines(url: string, token: string): string[] {
  return [
    `export OTEL_EXPORTER_OTLP_ENDPOINT=${shellWord(url)} OTEL_EXPORTER_OTLP_COMPRESSION=gzip`,
    `export OTEL_EXPORTER_OTLP_HEADERS=${shellWord(`x-api-key=${token}`)}`,
    "export OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none",
  ];
}

/** The exporter of an OpenTelemetry Collector. */
export function collectorLines(url: string, token: string): string[] {
  return [
    "exporters:",
    "  otlphttp/rubato:",
    `    endpoint: ${url}`,
    "    headers:",
    `      authorization: ${yamlText(`Bearer ${token}`)}`,
  ];
}

/** Grafana's data source, as a provisioning file. Any user will do: the token is the password. */
export function grafanaLines(url: string, token: string): string[] {
  return [
    "apiVersion: 1",
    "datasources:",
    "  - name: Rubato",
    "    uid: rubato",
    "    type: tempo",
    "    access: proxy",
    `    url: ${url}`,
    "    basicAuth: true",
    "    basicAuthUser: rubato",
    "    secureJsonData:",
    `      basicAuthPassword: ${yamlText(token)}`,
    "    jsonData:",
    "      streamingEnabled:",
    "        search: false",
    "        metrics: false",
  ];
}

/** What a page's exporter is given. */
export function browserLines(url: string, token: string): string[] {
  return [
    "new OTLPTraceExporter({",
    `  url: ${JSON.stringify(`${url}/v1/traces`)},`,
    `  headers: { "x-api-key": ${JSON.stringify(token)} },`,
    "});",
  ];
}

/** For this command, by whoever has an admin token. */
export function adminLines(url: string, token: string): string[] {
  return [`export RUBATO_URL=${shellWord(url)} ADMIN_TOKEN=${shellWord(token)}`];
}

export function readLines(url: string, token: string): string[] {
  return [`curl -H ${shellWord(`authorization: Bearer ${token}`)} ${shellWord(`${url}/api/search`)}`];
}

function yamlText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
