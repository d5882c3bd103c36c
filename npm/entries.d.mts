export declare const entries: Record<string, string>;
export declare const fileOf: (path: string) => string;
export declare const exportsOf: (table: Record<string, string>) => Record<string, unknown>;
