// The laws of the Rust suite that this suite has not, and why.
const THREADS = "never: one thread";

export const absent: Readonly<Record<string, string>> = {
  removal_across_threads: THREADS,
  removal_while_running: THREADS,
  isolation_drop: "never: what a listener owns is not dropped at a time that a program could tell",
  round_trip_json_once: "never: in-process makes no JSON",
  refcount_threads: THREADS,
  loss_is_seen_mixed:
    "never: it mixes bounds in events and in bytes, and a queue of references has none in bytes",
  undecodable:
    "never: a payload is what was published, or what JSON.parse makes of it; its type is the compiler's",
};
