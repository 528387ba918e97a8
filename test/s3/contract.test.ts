// The contract against a real server, from Node. test/s3-worker does the same from workerd.
import { inject } from "vitest";
import { S3Store } from "../../src/store/s3-store.ts";
import { runObjectStoreContract } from "../contract/object-store.ts";
import { s3Config } from "../support/s3-server.ts";

const access = inject("s3");
if ("missing" in access) throw new Error(access.missing);
const config = s3Config(access);

runObjectStoreContract("S3Store", () => new S3Store(config));
