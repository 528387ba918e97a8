// Addresses in bytes, as text.

/** Four bytes as dotted decimals. */
export function formatIpv4(bytes: Uint8Array): string {
  return Array.from(bytes).join(".");
}

/** 16 bytes in RFC 5952's form: the longest run of at least two zero groups as `::`; mapped IPv4 as `::ffff:1.2.3.4`. */
export function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${formatIpv4(bytes.subarray(12, 16))}`;
  }
  let bestStart = 0;
  let bestLength = 0;
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > bestLength) [bestStart, bestLength] = [i, length];
    i += length;
  }
  const hex = groups.map((group) => group.toString(16));
  if (bestLength < 2) return hex.join(":");
  return `${hex.slice(0, bestStart).join(":")}::${hex.slice(bestStart + bestLength).join(":")}`;
}

/** An address of 4 or 16 bytes as text; "" when it is neither. */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return formatIpv4(bytes);
  return bytes.length === 16 ? formatIpv6(bytes) : "";
}
