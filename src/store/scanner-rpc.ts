// The methods of Scanner objects as the Worker sees them. Fields may be added, never changed.

/** What comes back: a part of the answer, or nothing yet. */
export interface ScanReply {
  /**
   * `working`: ask for more; `part`: so is the rest; `last`: the answer is complete; `gone`: there is none, because the
   * Scanner has too much to do, is of another version, or the session was cancelled.
   */
  readonly state: "working" | "part" | "last" | "gone";
  /** Of `part` and `last`. */
  readonly bytes?: Uint8Array;
  /** Gets from the object store since the last reply: they are billed. */
  readonly gets?: number;
}

/** One query in one Scanner. It stops when nobody asks for more; whoever has no more use for it cancels it. */
export interface ScanSessionRpc {
  /** Asks a question, one at a time (query/pool/questions.ts, packed). */
  ask(question: Uint8Array): Promise<ScanReply>;
  more(): Promise<ScanReply>;
  cancel(): Promise<void>;
}

export interface ScannerRpc {
  /** @param request a query and its blocks (query/pool/questions.ts, packed) */
  scan(request: Uint8Array): Promise<ScanSessionRpc>;
}
