// Where an object keeps what isolates noted of requests: one value, which is one row.
import { InsightBook } from "../src/insight/book.ts";
import { systemClock } from "../src/util/clock.ts";

const KEY = "insight";

/** @param count is told of each row */
export function insightBook(
  { kv }: DurableObjectStorage,
  count: (rows: "rowsRead" | "rowsWritten", value: number) => void = () => {},
): InsightBook {
  return new InsightBook({
    load: () => {
      count("rowsRead", 1);
      return kv.get<string>(KEY);
    },
    save: (text) => {
      count("rowsWritten", 1);
      kv.put(KEY, text);
    },
    clock: systemClock,
  });
}
