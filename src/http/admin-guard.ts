// Who may use the admin API: whoever has its secret.
import { AppError } from "../util/errors.ts";

async function sha256(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

/** Compares hashes, so that the time says nothing of the secret: neither its length nor how much of it was right. */
async function isSame(a: string, b: string): Promise<boolean> {
  const [left, right] = await Promise.all([sha256(a), sha256(b)]);
  let difference = 0;
  for (const [i, byte] of left.entries()) difference |= byte ^ (right[i] ?? 0);
  return difference === 0;
}

/**
 * Lets a request pass whose `Authorization: Bearer` is `token`.
 * @throws AppError `unavailable` when there is no token, `unauthenticated`
 */
export async function checkAdmin(request: Request, token: string | undefined): Promise<void> {
  if (token === undefined) {
    throw new AppError(
      "unavailable",
      'the admin API is closed; "npx wrangler secret put ADMIN_TOKEN" sets the secret that opens it',
    );
  }
  const [, given] = /^Bearer +(\S+) *$/i.exec(request.headers.get("authorization") ?? "") ?? [];
  if (given === undefined) {
    throw new AppError(
      "unauthenticated",
      "the admin API needs the header Authorization: Bearer <ADMIN_TOKEN>",
    );
  }
  if (!(await isSame(given, token))) throw new AppError("unauthenticated", "this is not the admin token");
}
