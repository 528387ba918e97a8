// Rows as lines, each column as wide as its widest cell.

/** @param rows the first is the head; without others it says that there is nothing */
export function tableLines(rows: readonly (readonly string[])[]): string[] {
  const [head = []] = rows;
  if (rows.length < 2) return ["none"];
  const widths = head.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
