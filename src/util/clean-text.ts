// Texts that may hold what others sent, made fit for logs: short, one line, without what is quoted.

const MAX_REASON_CHARS = 300;
/** Longer than any word of ours: a hash, a key. */
const LONG_WORD = /[A-Za-z0-9+=_-]{41,}/g;

/**
 * A reason as the sender was told it, without what it quotes of the request: all from the first quote to the last, since
 * what is quoted may hold quotes itself.
 */
export function cleanReason(message: string): string {
  const unquoted = message.slice(0, 4 * MAX_REASON_CHARS).replace(/["'`].*["'`]/s, "...");
  // A quote that was opened and cut off.
  const safe = unquoted.replace(/["'`].*$/s, "...").replaceAll(/\s+/g, " ");
  return cutText(masked(safe).replaceAll(LONG_WORD, "*").trim(), MAX_REASON_CHARS);
}

/** Without Rubato's tokens, wherever they stand. */
export function masked(text: string): string {
  return text.replaceAll(/rbt_\S*/g, "rbt_*");
}

/** At most so many characters. */
export function cutText(text: string, chars: number): string {
  return text.length > chars ? `${text.slice(0, chars - 3)}...` : text;
}
