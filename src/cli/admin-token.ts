// The admin token of a server on this machine: made once, kept beside its data.
import { randomBytes } from "node:crypto";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

function tokenPath(dataDir: string): string {
  return join(dataDir, "admin-token");
}

/** The token that a server with this data folder has; undefined when none was made. */
export async function readAdminToken(dataDir: string): Promise<string | undefined> {
  try {
    return (await readFile(tokenPath(dataDir), "utf8")).trim() || undefined;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** The token of the data folder, made if there is none. Only the user who starts the server may read it. */
export async function ensureAdminToken(dataDir: string): Promise<string> {
  const known = await readAdminToken(dataDir);
  if (known !== undefined) {
    await chmod(tokenPath(dataDir), 0o600);
    return known;
  }
  await mkdir(dataDir, { recursive: true });
  const token = randomBytes(20).toString("hex");
  await writeFile(tokenPath(dataDir), `${token}\n`, { mode: 0o600 });
  return token;
}
