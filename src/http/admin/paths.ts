// Where the admin API is; known without loading it.
export const ADMIN_PATHS = "/api/admin/*";
export const OVERRIDES_PATH = "/api/overrides";
export const OPENAPI_PATH = "/api/openapi.json";
