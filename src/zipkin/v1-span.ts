// One Zipkin v1 span as it was read, from JSON or Thrift.

export interface V1Endpoint {
  /** Texts are "" when absent. */
  readonly serviceName: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** 0 when absent. */
  readonly port: number;
}

export interface V1Annotation {
  /** Microseconds. */
  readonly timestamp: number;
  readonly value: string;
  readonly endpoint: V1Endpoint | undefined;
}

export type V1Value =
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "int"; readonly low: number; readonly high: number }
  | { readonly type: "double"; readonly value: number }
  | { readonly type: "bytes"; readonly value: Uint8Array };

export interface V1BinaryAnnotation {
  readonly key: string;
  readonly value: V1Value;
  readonly endpoint: V1Endpoint | undefined;
}

export interface V1Span {
  /** Most significant word first. */
  readonly traceId: Uint32Array;
  readonly id: Uint32Array;
  /** Zero when absent. */
  readonly parentId: Uint32Array;
  readonly name: string;
  /** Microseconds; 0 when absent. */
  readonly timestamp: number;
  /** Microseconds; undefined when absent. */
  readonly duration: number | undefined;
  readonly annotations: readonly V1Annotation[];
  readonly binaryAnnotations: readonly V1BinaryAnnotation[];
}
