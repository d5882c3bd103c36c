//! The workloads: what the load generator is told, and which of its figures count.

/// One figure of a workload's result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    /// As the load generator calls it.
    pub(crate) key: &'static str,
    pub(crate) label: &'static str,
    /// Whether it is one to compare by.
    pub(crate) ratio: bool,
}

const fn main(key: &'static str, label: &'static str) -> Figure {
    Figure { key, label, ratio: true }
}

const fn aside(key: &'static str, label: &'static str) -> Figure {
    Figure { key, label, ratio: false }
}

/// One workload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What the load generator is told.
    pub(crate) load: &'static str,
    /// What it is told beyond that where only a trial is wanted.
    pub(crate) small: &'static str,
    pub(crate) figures: &'static [Figure],
    /// How a cost grows: the axis and the size on it.
    pub(crate) growth: Option<(&'static str, u32)>,
    /// Run with these options of our program, one after the other, and with no other hub; on all cores.
    pub(crate) variants: &'static [&'static str],
}

const PER_DELIVERY: Figure = main("hub_cpu_us", "hub's CPU per delivery, us");
const LOADS: [Figure; 2] = [aside("hub_cpu_pct", "hub's CPU, %"), aside("load_cpu_pct", "load's CPU, %")];
const WRITES: Figure = aside("deliveries_per_write", "deliveries per write");
const RATE: Figure = aside("deliveries_per_s", "deliveries/s");
const P50: Figure = aside("p50_us", "p50, us");
const P99: Figure = main("p99_us", "p99, us");
const P999: Figure = aside("p999_us", "p99.9, us");
const MAX: Figure = aside("max_us", "longest, us");
const LATE: Figure = aside("late_p99_us", "published late by, p99, us");

const FAN_OUT: &[Figure] = &[PER_DELIVERY, RATE, WRITES, LOADS[0], LOADS[1]];
const PACED: &[Figure] = &[P99, P50, P999, MAX, PER_DELIVERY, WRITES, LATE, LOADS[0], LOADS[1]];
const PAIRS: &[Figure] = &[PER_DELIVERY, P99, P50, P999, MAX, RATE, LOADS[0], LOADS[1]];
const IDLE: &[Figure] = &[
    main("memory_kib", "process memory each, KiB"),
    main("hub_cpu_us", "connect + subscribe + acknowledge: hub's CPU each, us"),
    aside("kernel_kib", "kernel memory each, both ends, KiB"),
    aside("idle_cpu_pct", "hub's CPU at rest, %"),
    aside("per_s", "served/s"),
    LOADS[0],
    LOADS[1],
];
const ARRIVE: &[Figure] = &[
    main("all_after_ms", "all served after, ms"),
    main("hub_cpu_us", "hub's CPU each, us"),
    aside("served", "served"),
    aside("p50_us", "p50 of a connection, us"),
    aside("max_us", "longest of a connection, us"),
    LOADS[0],
    LOADS[1],
];
const MIX: &[Figure] = &[
    PER_DELIVERY,
    P99,
    P50,
    P999,
    RATE,
    WRITES,
    aside("slow_closed", "slow readers closed by the hub"),
    aside("memory_mib", "process memory, MiB"),
    LATE,
    LOADS[0],
    LOADS[1],
];
const LEAVE: &[Figure] = &[
    main("max_us", "longest wait of others from then on, us"),
    aside("p99_us", "p99 from then on, us"),
    aside("max_us_before", "longest before, us"),
    aside("p99_us_before", "p99 before, us"),
    aside("left_in_ms", "all have gone after, ms"),
    aside("answered_in_ms", "all closes answered after, ms"),
    aside("longest_turn_us", "load's own longest pause, us"),
];
const GROWTH: &[Figure] = &[PER_DELIVERY, P99, WRITES, LATE, LOADS[0], LOADS[1]];

macro_rules! growth {
    ($axis:literal, $size:literal, $name:literal, $title:literal, $load:literal, $small:literal) => {
        Work {
            name: $name,
            title: $title,
            load: $load,
            small: $small,
            figures: GROWTH,
            growth: Some(($axis, $size)),
            variants: &[],
        }
    };
}

macro_rules! shards {
    ($name:literal, $title:literal, $load:literal) => {
        Work {
            name: $name,
            title: $title,
            load: $load,
            small: "--topics 50 --readers 100 --rate 500",
            figures: MIX,
            growth: None,
            variants: &["--shards 1", "--shards 2"],
        }
    };
}

const fn work(
    name: &'static str,
    title: &'static str,
    load: &'static str,
    small: &'static str,
    figures: &'static [Figure],
) -> Work {
    Work { name, title, load, small, figures, growth: None, variants: &[] }
}

pub(crate) const WORKS: &[Work] = &[
    work(
        "fanout-32",
        "One topic, 1,000 readers, 32 messages under way",
        "flow --window 32",
        "--readers 50",
        FAN_OUT,
    ),
    work(
        "fanout-1",
        "One topic, 1,000 readers, 1 message under way",
        "flow --window 1",
        "--readers 50",
        FAN_OUT,
    ),
    work("latency", "One topic, 1,000 readers, 50 messages/s", "flow --rate 50", "--readers 50", PACED),
    work(
        "topics",
        "1,000 topics of one reader each, 256 messages under way",
        "flow --topics 1000 --hold own --window 256",
        "--topics 50 --readers 50",
        FAN_OUT,
    ),
    work("pairs", "50 pairs, request and answer", "pairs", "--pairs 5", PAIRS),
    work("idle", "10,000 idle connections", "connect", "--connections 200", IDLE),
    work("arrive", "10,000 arrive at once", "connect --parallel 0", "--connections 200", ARRIVE),
    work(
        "mix",
        "5,000 readers on 10 of 2,000 topics, 20 publishers, 2,000 messages/s of 32 B to 16 KiB, 1 % of readers slow",
        "flow --topics 2000 --readers 5000 --hold some --each 10 --publishers 20 --rate 2000 --bytes 32 --bytes-to 16384 \
         --slow-one-in 100",
        "--topics 50 --readers 100 --rate 500 --slow-one-in 20",
        MIX,
    ),
    growth!(
        "readers of one topic",
        100,
        "readers-100",
        "One topic, 100 readers, 100,000 deliveries/s",
        "flow --readers 100 --rate 1000",
        "--readers 10"
    ),
    growth!(
        "readers of one topic",
        1000,
        "readers-1000",
        "One topic, 1,000 readers, 100,000 deliveries/s",
        "flow --readers 1000 --rate 100",
        "--readers 20"
    ),
    growth!(
        "readers of one topic",
        10_000,
        "readers-10000",
        "One topic, 10,000 readers, 100,000 deliveries/s",
        "flow --readers 10000 --rate 10",
        "--readers 50 --rate 10"
    ),
    growth!(
        "topics among 1,000 connections",
        1,
        "topics-1",
        "1 topic among 1,000 connections, one reader, 30,000 messages/s",
        "flow --topics 1 --hold own --rate 30000",
        "--readers 20 --rate 1000"
    ),
    growth!(
        "topics among 1,000 connections",
        1000,
        "topics-1000",
        "1,000 topics among 1,000 connections, 30,000 messages/s",
        "flow --topics 1000 --hold own --rate 30000",
        "--topics 20 --readers 20 --rate 1000"
    ),
    growth!(
        "topics among 1,000 connections",
        100_000,
        "topics-100000",
        "100,000 topics among 1,000 connections, 30,000 messages/s",
        "flow --topics 100000 --hold own --each 100 --rate 30000",
        "--topics 2000 --readers 20 --rate 1000"
    ),
    growth!(
        "connections, each publishing and reading",
        100,
        "connections-100",
        "100 connections that publish and read, 30,000 messages/s",
        "flow --topics 100 --readers 100 --hold own --publishers 0 --rate 30000",
        "--topics 10 --readers 10 --rate 1000"
    ),
    growth!(
        "connections, each publishing and reading",
        1000,
        "connections-1000",
        "1,000 connections that publish and read, 30,000 messages/s",
        "flow --topics 1000 --readers 1000 --hold own --publishers 0 --rate 30000",
        "--topics 30 --readers 30 --rate 1000"
    ),
    growth!(
        "connections, each publishing and reading",
        10_000,
        "connections-10000",
        "10,000 connections that publish and read, 30,000 messages/s",
        "flow --topics 10000 --readers 10000 --hold own --publishers 0 --rate 30000",
        "--topics 100 --readers 100 --rate 1000"
    ),
    work(
        "leave-close",
        "5,000 go at once, each with a Close, while 50 pairs exchange 1,000 requests/s",
        "pairs --rate 20 --leave 5000 --how close",
        "--pairs 5 --leave 100 --rate 50",
        LEAVE,
    ),
    work(
        "leave-drop",
        "5,000 go at once without a word, while 50 pairs exchange 1,000 requests/s",
        "pairs --rate 20 --leave 5000 --how drop",
        "--pairs 5 --leave 100 --rate 50",
        LEAVE,
    ),
    shards!(
        "shards-1000",
        "2,000 readers on 10 of 1,000 topics, 20 publishers, 1,000 messages/s of 32 B to 16 KiB, on all cores",
        "flow --topics 1000 --readers 2000 --hold some --each 10 --publishers 20 --rate 1000 --bytes 32 --bytes-to 16384 \
         --sleep"
    ),
    shards!(
        "shards-4000",
        "2,000 readers on 10 of 1,000 topics, 20 publishers, 4,000 messages/s of 32 B to 16 KiB, on all cores",
        "flow --topics 1000 --readers 2000 --hold some --each 10 --publishers 20 --rate 4000 --bytes 32 --bytes-to 16384 \
         --sleep"
    ),
];
