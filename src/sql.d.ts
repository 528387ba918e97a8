// wrangler's Text rule: a .sql file is imported as its text.
declare module "*.sql" {
  const text: string;
  export default text;
}
