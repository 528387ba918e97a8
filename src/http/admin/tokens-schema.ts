// Tokens, as they are asked for and answered.
import { SCOPES } from "../../model/token.ts";
import { TokenLimitsSchema } from "./limits-schema.ts";
import { TenantParams, Time, z } from "./schemas.ts";

const Scope = z.enum(SCOPES);
const TokenFields = {
  name: z
    .string()
    .min(1)
    .max(100)
    .superRefine((text, context) => {
      if (/\p{C}/u.test(text)) {
        context.addIssue({ code: "custom", message: "name holds a character that cannot be shown" });
      }
    })
    .openapi({ description: "Characters that can be shown", example: "collector in Frankfurt" }),
  scopes: z.array(Scope).min(1).max(SCOPES.length),
};
const OtherTenants = z.array(z.string()).max(100).openapi({
  description: "Tenants that it may act for besides its own, by X-Scope-OrgID; * is every tenant",
});
const Origins = z
  .array(z.string())
  .max(100)
  .openapi({
    description: "Makes it a browser key: of use to pages of these origins only, and to send spans only",
    example: ["https://shop.example.com"],
  });

export const NewTokenSchema = z
  .strictObject({
    ...TokenFields,
    tenants: OtherTenants.optional(),
    origins: Origins.optional(),
    limits: TokenLimitsSchema.optional(),
    expires: z.iso
      .datetime({ offset: true })
      .optional()
      .openapi({ description: "RFC 3339; absent: it does not expire" }),
  })
  .openapi("NewToken");

export const TokenSchema = z
  .object({
    id: z.string().openapi({ example: "3f2a9c01b7de" }),
    ...TokenFields,
    tenants: OtherTenants,
    origins: Origins,
    limits: TokenLimitsSchema.optional(),
    created: Time,
    expires: Time.optional(),
    lastUsed: Time.optional().openapi({ description: "Absent: not within 90 days" }),
  })
  .openapi("Token");

export const MadeTokenSchema = TokenSchema.extend({
  token: z.string().openapi({
    description: "The token itself: shown here and never again",
    pattern: "^rbt_.+_[0-9a-f]{40}$",
  }),
}).openapi("MadeToken");
export const TokenListSchema = z.object({ tokens: z.array(TokenSchema) }).openapi("TokenList");
export const RevokedSchema = z.object({ revoked: z.string() }).openapi("RevokedToken");
export const TokenParams = TenantParams.extend({
  id: z.string().openapi({ param: { name: "id", in: "path" }, example: "3f2a9c01b7de" }),
});
