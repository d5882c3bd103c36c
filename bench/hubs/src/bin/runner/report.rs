//! From the lines of a results file to tables in Markdown.

use crate::DISTURBED_PCT;
use crate::works::{Figure, WORKS, Work};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::fmt::Write as _;

/// The runs of one file or several, in order.
struct Runs {
    hubs: Vec<String>,
    runs: Vec<Run>,
}

struct Run {
    /// Which file it is of: run 1 of one file is not paired with that of another.
    file: usize,
    work: String,
    hub: String,
    run: u64,
    result: Value,
}

impl Runs {
    fn of<'a>(&'a self, work: &'a Work, hub: &'a str) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |run| run.work == work.name && run.hub == hub)
    }

    fn values(&self, work: &Work, hub: &str, key: &str) -> Vec<f64> {
        self.of(work, hub).filter_map(|run| run.result[key].as_f64()).collect()
    }

    /// The hub's figure by that of another in the same turn.
    fn ratios(&self, work: &Work, hub: &str, to: &str, key: &str) -> Vec<f64> {
        let pair = |run: &Run| {
            let other = self.of(work, to).find(|other| (other.file, other.run) == (run.file, run.run))?;
            let ratio = run.result[key].as_f64()? / other.result[key].as_f64()?;
            ratio.is_finite().then_some(ratio)
        };
        self.of(work, hub).filter_map(pair).collect()
    }

    fn hubs_of(&self, work: &Work) -> Vec<&str> {
        self.hubs.iter().map(String::as_str).filter(|hub| self.of(work, hub).next().is_some()).collect()
    }
}

/// The middle one, or the mean of the two that are; `None` of nothing.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

fn show(value: f64) -> String {
    match value.abs() {
        large if large >= 999.5 => {
            let digits = format!("{value:.0}");
            let groups: Vec<&str> =
                digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap_or("")).collect();
            groups.join(",")
        }
        large if large >= 99.95 => format!("{value:.0}"),
        large if large >= 9.995 => format!("{value:.1}"),
        zero if zero < 0.0005 => "0".to_owned(),
        small if small < 0.0995 => format!("{value:.3}"),
        _ => format!("{value:.2}"),
    }
}

fn cell(values: Vec<f64>) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match (values.len(), median(values)) {
        (_, None) => "-".to_owned(),
        (1, Some(value)) => show(value),
        (_, Some(value)) if show(least) == show(most) => show(value),
        (_, Some(value)) => format!("{} ({}-{})", show(value), show(least), show(most)),
    }
}

fn row(out: &mut String, first: &str, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    let _ = writeln!(out, "| {first} | {} |", cells.join(" | "));
}

fn head(out: &mut String, first: &str, columns: &[&str]) {
    row(out, first, columns.iter().map(|column| (*column).to_owned()));
    row(out, "---", columns.iter().map(|_| "--:".to_owned()));
}

/// All tables of these lines.
pub(crate) fn report(text: &str) -> Result<String> {
    let mut out = String::new();
    let (mut runs, mut file) = (Runs { hubs: vec![], runs: vec![] }, 0);
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).context("not a line of results")?;
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let (Some(work), Some(hub)) = (text("work"), text("hub")) else {
            file += 1;
            about(&mut out, &value);
            continue;
        };
        if !runs.hubs.contains(&hub) {
            runs.hubs.push(hub.clone());
        }
        let run = value["run"].as_u64().context("a run without a number")?;
        runs.runs.push(Run { file, work, hub, run, result: value["result"].clone() });
    }
    summary(&mut out, &runs);
    growth(&mut out, &runs);
    for work in WORKS {
        details(&mut out, &runs, work);
    }
    Ok(out)
}

fn about(out: &mut String, value: &Value) {
    let versions: Vec<&str> =
        value["versions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let _ = writeln!(
        out,
        "{} cores of {}, {}, {}; {} runs of {} s, seed {}; {}{}\n",
        value["cores"],
        value["cpu"].as_str().unwrap_or("?"),
        value["kernel"].as_str().unwrap_or("?"),
        value["at"].as_str().unwrap_or("?"),
        value["runs"],
        value["seconds"],
        value["seed"],
        versions.join(", "),
        if value["small"] == true { "; a trial in small sizes, which says nothing of speed" } else { "" },
    );
}

const OURS: &str = "alkpubsub";

/// Every figure that counts, with ratios.
fn summary(out: &mut String, runs: &Runs) {
    let hubs: Vec<&str> = runs.hubs.iter().map(String::as_str).filter(|hub| !hub.contains(" --")).collect();
    let has = |name: &str| hubs.contains(&name);
    let ratios: Vec<&str> = ["floor", "bun"].into_iter().filter(|to| has(OURS) && has(to)).collect();
    let columns: Vec<String> = hubs
        .iter()
        .map(|hub| (*hub).to_owned())
        .chain(ratios.iter().map(|to| format!("{OURS} / {to}")))
        .collect();
    let works = || {
        let plain = WORKS.iter().filter(|work| work.growth.is_none() && work.variants.is_empty());
        plain.filter(|work| !runs.hubs_of(work).is_empty())
    };
    if works().next().is_none() {
        return;
    }
    let _ = writeln!(out, "## Medians\n");
    head(out, "", &columns.iter().map(String::as_str).collect::<Vec<_>>());
    for work in works() {
        for figure in work.figures.iter().filter(|figure| figure.ratio) {
            let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), show);
            let values = hubs.iter().map(|hub| show(median(runs.values(work, hub, figure.key))));
            let by = ratios.iter().map(|to| show(median(runs.ratios(work, OURS, to, figure.key))));
            row(out, &format!("{}: {}", work.name, figure.label), values.chain(by));
        }
    }
    out.push('\n');
}

/// How the cost of a delivery grows, as ratio to the floor's at the same size.
fn growth(out: &mut String, runs: &Runs) {
    let mut axes: Vec<&str> = WORKS.iter().filter_map(|work| work.growth).map(|(axis, _)| axis).collect();
    axes.dedup();
    for axis in axes {
        let works: Vec<&Work> = WORKS
            .iter()
            .filter(|work| work.growth.is_some_and(|(of, _)| of == axis) && !runs.hubs_of(work).is_empty())
            .collect();
        let Some(smallest) = works.first() else { continue };
        let hubs: Vec<&str> = runs.hubs_of(smallest).into_iter().filter(|hub| *hub != "floor").collect();
        let _ = writeln!(out, "## Growth: {axis}\n\nHub's CPU per delivery, us\n");
        let mut columns = vec!["floor".to_owned()];
        for hub in &hubs {
            columns.extend([(*hub).to_owned(), format!("{hub} / floor"), "beside the smallest".to_owned()]);
        }
        head(out, "", &columns.iter().map(String::as_str).collect::<Vec<_>>());
        for work in &works {
            let key = "hub_cpu_us";
            let ratio = |work: &Work, hub| median(runs.ratios(work, hub, "floor", key));
            let mut cells = vec![cell(runs.values(work, "floor", key))];
            for hub in &hubs {
                cells.push(cell(runs.values(work, hub, key)));
                cells.push(cell(runs.ratios(work, hub, "floor", key)));
                let grown = ratio(work, hub).zip(ratio(smallest, hub)).map(|(here, there)| here / there);
                cells.push(
                    grown.map_or_else(|| "-".to_owned(), |grown| format!("{:+.0} %", (grown - 1.0) * 100.0)),
                );
            }
            let size = work.growth.map_or(0, |(_, size)| size);
            row(out, &if size < 1000 { size.to_string() } else { show(f64::from(size)) }, cells);
        }
        out.push('\n');
    }
}

fn details(out: &mut String, runs: &Runs, work: &Work) {
    let hubs = runs.hubs_of(work);
    if hubs.is_empty() {
        return;
    }
    let _ = writeln!(out, "### {}: {}\n", work.name, work.title);
    head(out, "median (least-most)", &hubs);
    for Figure { key, label, ratio } in work.figures {
        let values: Vec<Vec<f64>> = hubs.iter().map(|hub| runs.values(work, hub, key)).collect();
        if values.iter().all(Vec::is_empty) {
            continue;
        }
        row(out, label, values.into_iter().map(cell));
        if !ratio {
            continue;
        }
        let references = ["floor", "bun", work.variants.first().map_or("", |_| hubs[0])];
        for to in references.into_iter().filter(|to| hubs.contains(to) && hubs.len() > 1) {
            row(
                out,
                &format!("by that of {to}"),
                hubs.iter().map(|hub| cell(runs.ratios(work, hub, to, key))),
            );
        }
    }
    let disturbed = |hub: &&str| {
        runs.of(work, hub).filter(|run| run.result["others_cpu_pct"].as_f64() > Some(DISTURBED_PCT)).count()
    };
    if hubs.iter().any(|hub| disturbed(hub) > 0) {
        row(out, "runs that others disturbed", hubs.iter().map(|hub| disturbed(hub).to_string()));
    }
    out.push('\n');
    for run in runs.runs.iter().filter(|run| run.work == work.name) {
        for wrong in run.result["wrong"].as_array().into_iter().flatten() {
            let wrong = wrong.as_str().unwrap_or_default().replace('\n', "; ");
            let _ = writeln!(out, "- **{}, run {}: {wrong}**", run.hub, run.run);
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn numbers_are_shown_with_three_digits_and_groups() {
        for (value, text) in [
            (0.0, "0"),
            (0.0123, "0.012"),
            (0.5, "0.50"),
            (4.849, "4.85"),
            (9.999, "10.0"),
            (99.99, "100"),
            (999.9, "1,000"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(show(value), text);
        }
    }

    #[test]
    fn ratios_are_of_the_same_turn_and_what_went_wrong_is_told() {
        let line = |hub: &str, run: u32, cpu: f64, wrong: &str| {
            let result = serde_json::json!({ "hub_cpu_us": cpu, "wrong": [wrong], "others_cpu_pct": 20.0 });
            serde_json::json!({ "work": "fanout-1", "hub": hub, "run": run, "result": result }).to_string()
        };
        let text = [
            "{}".to_owned(),
            line("floor", 1, 1.0, "3 missing"),
            line("alkpubsub", 1, 2.0, ""),
            line("floor", 2, 10.0, ""),
            line("alkpubsub", 2, 30.0, ""),
        ]
        .join("\n");
        let report = report(&text).expect("a report");
        assert!(report.contains("| fanout-1: hub's CPU per delivery, us | 5.50 | 16.0 | 2.50 |"), "{report}");
        assert!(report.contains("| by that of floor | 1.00 | 2.50 (2.00-3.00) |"), "{report}");
        assert!(report.contains("- **floor, run 1: 3 missing**"), "{report}");
        assert!(report.contains("| runs that others disturbed | 2 | 2 |"), "{report}");
    }
}
