export type Source = string | { readonly node: string; readonly default: string };
export declare const entries: Record<string, Source>;
export declare const files: readonly string[];
export declare const fileOf: (path: string) => string;
export declare const sourcesOf: (table: Record<string, Source>) => Record<string, string>;
export declare const exportsOf: (table: Record<string, Source>) => Record<string, unknown>;
