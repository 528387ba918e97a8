// What the generated traffic is made of: a shop of 16 services, their pods, and the attributes of their spans.
import type { Attribute } from "./otlp-writer.ts";
import type { Random } from "./random.ts";

export const KIND = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const;

export const SCOPES = [
  { name: "@opentelemetry/instrumentation-http", version: "0.301.0" },
  { name: "io.opentelemetry.grpc-1.6", version: "2.21.0-alpha" },
  { name: "opentelemetry.instrumentation.psycopg", version: "0.62b0" },
  { name: "github.com/redis/go-redis/extra/redisotel", version: "9.17.1" },
  { name: "io.opentelemetry.kafka-clients-2.6", version: "2.21.0-alpha" },
  { name: "shop.checkout", version: "1.4.2" },
] as const;
export const SCOPE = { http: 0, rpc: 1, sql: 2, redis: 3, kafka: 4, app: 5 } as const;

const SERVICE_NAMES = [
  "storefront-web",
  "mobile-gateway",
  "partner-api",
  "cart",
  "checkout",
  "payment",
  "shipping",
  "catalog",
  "recommendation",
  "pricing",
  "inventory",
  "accounts",
  "search-frontend",
  "notification",
  "fraud-detection",
  "ledger",
] as const;

/** Services that traffic from outside enters by. */
export const ENTRY_SERVICES = 3;
const PODS = 3;

export interface Pod {
  readonly service: number;
  readonly serviceName: string;
  readonly attributes: readonly Attribute[];
}

function text(key: string, value: string): Attribute {
  return { key, type: "string", value };
}
function int(key: string, value: number): Attribute {
  return { key, type: "int", value };
}
function double(key: string, value: number): Attribute {
  return { key, type: "double", value };
}
function bool(key: string, value: boolean): Attribute {
  return { key, type: "bool", value };
}

function makePod(random: Random, service: number): Pod {
  const name = SERVICE_NAMES[service]!;
  const replica = random.hex(10);
  const uuid = [8, 4, 4, 4, 12].map((digits) => random.hex(digits)).join("-");
  return {
    service,
    serviceName: name,
    attributes: [
      text("service.name", name),
      text("service.version", `2.${service}.${random.below(40)}`),
      text("service.instance.id", uuid),
      text("k8s.namespace.name", "shop-production"),
      text("k8s.pod.name", `${name}-${replica}-${random.hex(5)}`),
      text("host.name", `ip-10-12-${random.below(256)}-${random.below(256)}.eu-central-1.compute.internal`),
      text("deployment.environment.name", "production"),
      int("process.pid", 1 + random.below(4_000)),
    ],
  };
}

/** All pods, the three of a service side by side. */
export function makePods(random: Random): readonly Pod[] {
  return SERVICE_NAMES.flatMap((_, service) => Array.from({ length: PODS }, () => makePod(random, service)));
}

export function podOf(random: Random, pods: readonly Pod[], service: number): Pod {
  return pods[service * PODS + random.below(PODS)]!;
}

/** A service that `caller` calls: one of four, so that the call graph is sparse. */
export function calleeOf(random: Random, caller: number): number {
  const inner = SERVICE_NAMES.length - ENTRY_SERVICES;
  return ENTRY_SERVICES + ((caller * 5 + 1 + 3 * random.below(4)) % inner);
}

export function serviceName(service: number): string {
  return SERVICE_NAMES[service]!;
}

const ROUTES = [
  "/api/v1/products/{productId}",
  "/api/v1/cart/{userId}/items",
  "/api/v1/checkout",
  "/api/v1/orders/{orderId}",
  "/api/v1/search",
  "/api/v1/users/{userId}/profile",
  "/api/v1/recommendations",
  "/api/v2/payments/{paymentId}/capture",
  "/internal/prices/{sku}",
  "/internal/stock/{warehouse}/{sku}",
] as const;
const METHODS = ["GET", "GET", "GET", "GET", "POST", "POST", "PUT", "DELETE"] as const;
const AGENTS = [
  "Mozilla/5.0 (X11; Linux x86_64; rv:147.0) Gecko/20100101 Firefox/147.0",
  "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) Mobile/15E148",
  "okhttp/5.3.0",
  "Go-http-client/2.0",
  "python-requests/2.33.0",
] as const;
const RPCS = [
  ["shop.cart.v1.CartService", "GetCart"],
  ["shop.cart.v1.CartService", "AddItem"],
  ["shop.pricing.v1.PricingService", "Quote"],
  ["shop.payment.v1.PaymentService", "Authorize"],
  ["shop.stock.v1.StockService", "Reserve"],
  ["shop.account.v1.AccountService", "Lookup"],
] as const;
const TABLES = [
  "orders",
  "order_items",
  "users",
  "products",
  "stock_levels",
  "payments",
  "ledger_entries",
] as const;
const TOPICS = ["order-placed", "payment-captured", "stock-changed", "mail-requested"] as const;
const FUNCTIONS = ["renderPage", "validateCart", "computeTax", "rankResults", "applyDiscounts"] as const;
const RARE_WORDS = [
  "promo",
  "loyalty",
  "gift",
  "locale",
  "warehouse",
  "carrier",
  "refund",
  "basket",
  "supplier",
  "quota",
  "ranking",
  "consent",
  "coupon",
  "bundle",
  "voucher",
  "region",
  "batch",
  "retry",
  "import",
  "audit",
] as const;

/** What a span does: decides its name, kind, scope and attributes. */
export interface Operation {
  readonly name: string;
  readonly kind: number;
  readonly scope: number;
  readonly attributes: Attribute[];
}

function filledRoute(random: Random, route: string): string {
  return route.replace(/\{[^}]+\}/g, () => random.hex(8));
}

function peer(random: Random): Attribute[] {
  return [
    text("network.peer.address", `10.12.${random.below(256)}.${random.below(256)}`),
    int("network.peer.port", 1_024 + random.below(64_000)),
  ];
}

function httpStatus(random: Random): number {
  if (random.chance(0.985)) return random.chance(0.8) ? 200 : 204;
  return random.pick([400, 404, 409, 500, 502, 503]);
}

export function httpServer(random: Random, host: string): Operation {
  const route = random.pick(ROUTES);
  const method = random.pick(METHODS);
  return {
    name: `${method} ${route}`,
    kind: KIND.server,
    scope: SCOPE.http,
    attributes: [
      text("http.request.method", method),
      text("http.route", route),
      int("http.response.status_code", httpStatus(random)),
      text("url.path", filledRoute(random, route)),
      text("server.address", host),
      text("network.protocol.version", random.chance(0.7) ? "1.1" : "2"),
      text("client.address", `10.12.${random.below(256)}.${random.below(256)}`),
      text("user_agent.original", random.pick(AGENTS)),
    ],
  };
}

export function httpClient(random: Random, callee: string): Operation {
  const method = random.pick(METHODS);
  const attributes = [
    text("http.request.method", method),
    int("http.response.status_code", httpStatus(random)),
    text(
      "url.full",
      `http://${callee}:8080${filledRoute(random, random.pick(ROUTES))}?v=${random.below(100)}`,
    ),
    text("server.address", callee),
    int("server.port", 8_080),
    int("http.response.body.size", random.below(60_000)),
    ...peer(random),
  ];
  if (random.chance(0.4)) attributes.push(int("http.request.body.size", random.below(9_000)));
  if (random.chance(0.05)) attributes.push(int("http.request.resend_count", 1 + random.below(3)));
  return { name: method, kind: KIND.client, scope: SCOPE.http, attributes };
}

export function rpcCall(random: Random, kind: number, callee: string): Operation {
  const [service, method] = random.pick(RPCS);
  return {
    name: `${service}/${method}`,
    kind,
    scope: SCOPE.rpc,
    attributes: [
      text("rpc.system", "grpc"),
      text("rpc.service", service),
      text("rpc.method", method),
      int("rpc.grpc.status_code", random.chance(0.985) ? 0 : 1 + random.below(16)),
      text("server.address", callee),
      int("server.port", 9_090),
      ...peer(random),
    ],
  };
}

export function sqlQuery(random: Random): Operation {
  const table = random.pick(TABLES);
  const operation = random.pick(["SELECT", "SELECT", "SELECT", "INSERT", "UPDATE"]);
  const columns = operation === "SELECT" ? "id, state, updated_at" : "(id, state, updated_at)";
  return {
    name: `${operation} ${table}`,
    kind: KIND.client,
    scope: SCOPE.sql,
    attributes: [
      text("db.system.name", "postgresql"),
      text("db.namespace", "shop"),
      text("db.collection.name", table),
      text("db.operation.name", operation),
      text("db.query.text", `${operation} ${columns} /* ${table} */ WHERE id = $1`),
      int("db.response.returned_rows", random.below(50)),
      text("server.address", `pg-${random.below(4)}.db.internal`),
      ...peer(random),
    ],
  };
}

export function redisCommand(random: Random): Operation {
  const operation = random.pick(["GET", "GET", "MGET", "SET", "EXPIRE"]);
  return {
    name: operation,
    kind: KIND.client,
    scope: SCOPE.redis,
    attributes: [
      text("db.system.name", "redis"),
      text("db.namespace", String(random.below(8))),
      text("db.operation.name", operation),
      text("cache.key", `session:${random.hex(16)}`),
      bool("cache.hit", random.chance(0.83)),
      text("server.address", "redis-main.cache.internal"),
      int("server.port", 6_379),
      int("network.peer.port", 6_379),
    ],
  };
}

export function kafkaMessage(random: Random, kind: number): Operation {
  const topic = random.pick(TOPICS);
  const verb = kind === KIND.producer ? "send" : "process";
  return {
    name: `${verb} ${topic}`,
    kind,
    scope: SCOPE.kafka,
    attributes: [
      text("messaging.system", "kafka"),
      text("messaging.destination.name", topic),
      text("messaging.operation.type", verb),
      text("messaging.destination.partition.id", String(random.below(32))),
      int("messaging.kafka.offset", random.below(900_000_000)),
      text("messaging.message.id", random.hex(24)),
    ],
  };
}

export function functionCall(random: Random): Operation {
  const name = random.pick(FUNCTIONS);
  return {
    name,
    kind: KIND.internal,
    scope: SCOPE.app,
    attributes: [
      text("code.function.name", `com.example.shop.${name}`),
      int("code.line.number", 20 + random.below(900)),
      int("thread.id", 1 + random.below(200)),
      text("thread.name", `worker-${random.below(32)}`),
      text("app.stage", random.pick(["prepare", "execute", "render"])),
      double("app.cost", random.unit() * 250),
    ],
  };
}

/** Who the request is for: the same on every span of a trace that carries it. */
export interface Visitor {
  readonly attributes: readonly Attribute[];
}

export function makeVisitor(random: Random): Visitor {
  return {
    attributes: [
      text("user.id", `u-${random.hex(12)}`),
      text("session.id", random.hex(16)),
      text("app.customer.tier", random.pick(["free", "plus", "business"])),
      double("app.cart.total", random.below(50_000) / 100),
      bool("app.experiment.new_ranking", random.chance(0.5)),
    ],
  };
}

const RARE_KEYS = 400;

/** One of 400 keys that few spans have; some hold a list, as captured HTTP headers do. */
export function rareAttribute(random: Random): Attribute {
  const index = random.below(RARE_KEYS);
  const key = `app.${RARE_WORDS[index % 20]!}.${RARE_WORDS[Math.floor(index / 20)]!}_${index}`;
  switch (index % 5) {
    case 0:
      return int(key, random.below(1_000_000));
    case 1:
      return double(key, random.unit());
    case 2:
      return bool(key, random.chance(0.5));
    case 3:
      return index % 20 === 3
        ? { key, type: "strings", value: [random.hex(6), "größer"] }
        : text(key, random.hex(8));
    default:
      return text(key, random.pick(RARE_WORDS));
  }
}

export function exceptionAttributes(random: Random): readonly Attribute[] {
  const type = random.pick(["TimeoutError", "ConnectionResetError", "ValidationError"]);
  const frames = Array.from(
    { length: 4 },
    () =>
      `    at ${random.pick(FUNCTIONS)} (/app/dist/${random.pick(RARE_WORDS)}.js:${random.below(900)}:13)`,
  );
  return [
    text("exception.type", type),
    text("exception.message", `upstream gave up after ${random.below(30_000)} ms`),
    text("exception.stacktrace", [`${type}: upstream gave up`, ...frames].join("\n")),
  ];
}

export function linkAttributes(random: Random): readonly Attribute[] {
  return [text("link.reason", random.pick(["batch", "retry", "follows"]))];
}
