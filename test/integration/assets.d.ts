/** A file's bytes as a data URL of base64. */
declare module "*.parquet?url&inline" {
  const url: string;
  export default url;
}
