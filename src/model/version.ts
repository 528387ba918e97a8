/** This program's version; a test keeps it equal to package.json's. */
export const VERSION = "0.1.0";

/** The Tempo whose HTTP API this one follows: what clients that detect features by version are told. */
export const TEMPO_VERSION = "3.0.2";
