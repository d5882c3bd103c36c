//! The tables that are committed: targets and laws.

use super::{Fixture, LAWS};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Compares a committed text with what it should be; with `UPDATE=1` in the environment, writes it.
///
/// # Panics
/// If they differ.
pub fn committed(file: &Path, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(file, text).expect("the file can be written");
    }
    let found = std::fs::read_to_string(file).unwrap_or_default();
    assert!(found == text, "{} differs; UPDATE=1 writes it. It should be:\n{text}", file.display());
}

/// Compares one target's column of the matrix in `file` with what the fixture says of itself; with `UPDATE=1` in
/// the environment, writes it. Each target has its column by itself, because no one program holds all of them.
///
/// # Panics
/// If they differ.
pub fn matrix_column(file: &Path, target: &str, fixture: &dyn Fixture) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let found = std::fs::read_to_string(file).unwrap_or_default();
    let mut matrix = Matrix::read(&found);
    let cell =
        |law: &super::Law| law.unmet(fixture).map_or("yes".to_owned(), |need| format!("n/a: {need:?}"));
    matrix.set(target, LAWS.iter().map(cell).collect());
    committed_matrix(file, &found, &matrix.write());
}

fn committed_matrix(file: &Path, found: &str, text: &str) {
    if found != text {
        committed(file, text);
    }
}

/// Tells what the words of the table mean. No line begins as a row does.
const LEGEND: &str = "\
A row is a case of a law. The number is the law's (`Law::number`): there are 17, and the first case of each
bears its name. What the laws ask of a target is told beside each in
`crates/alkpubsub/src/conformance/laws`.

A column is a fixture: a way to set up a target and its peers.

- `in_process`: the target of that name. `memory*`: the sound targets beside the [wrong ones](wrong-targets.md),
  in one memory: bare, as a hub, as a link (also lent its socket, also outliving its connections).
- `redis`: a redis-server for each law. `hubs_behind_redis`: clients of three hubs behind one, of one to three shards.
- `websocket_client`, `spoke`: against a scripted hub; with `_and_server` against the server target; with
  `_lent` on a socket that stays the caller's.
- `websocket_server`: the hub as one target, with raw spokes. `websocket_spoke`: its `Spoke`, the target of one
  connection. `websocket_relay`: two clients at a hub that relays. `hub_program`: the program, in a process of
  its own.

What may be wanting:

- of the target's capabilities: `Echo`, a publisher hears its own event; `ConnectionOrder`, order across topics;
  `Reference` or `Json`, what crosses; `Text`, anything but a structured clone crosses; `Confirms`, the target
  says whether a subscription is in place; `PerConnection`, it ends with its connection; `Outlives`, it does not;
- of what the fixture offers: `Cut`, the connection can be cut; `Stall`, the far side can stop to read; `HangUp`,
  the far side can end the connection in good order; `Wire`, raw text in and out, `FarHub` at a hub's place,
  `FarSpoke` at a spoke's, or neither at that of a peer without a hub; `Near`, the target at the wire's near end is
  in this process; `Lent`, the target was given something that stays the caller's.

";

/// Targets in the order of their names, so that the order in which tests run does not show.
#[derive(Default)]
struct Matrix {
    columns: std::collections::BTreeMap<String, Vec<String>>,
}

impl Matrix {
    fn read(text: &str) -> Self {
        let cells = |line: &str| {
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
        };
        let mut lines = text.lines().filter(|line| line.starts_with('|')).map(cells);
        let heads: Vec<_> = lines.next().unwrap_or_default().into_iter().skip(2).collect();
        let rows: Vec<_> = lines.skip(1).collect();
        let column = |law: &super::Law, at: usize| {
            let row = rows.iter().find(|row| row.get(1).is_some_and(|name| *name == law.name));
            row.and_then(|row| row.get(at + 2)).cloned().unwrap_or_default()
        };
        let columns = heads.iter().enumerate();
        let columns =
            columns.map(|(at, head)| (head.clone(), LAWS.iter().map(|law| column(law, at)).collect()));
        Self { columns: columns.collect() }
    }

    fn set(&mut self, target: &str, cells: Vec<String>) {
        self.columns.insert(target.to_owned(), cells);
    }

    fn write(&self) -> String {
        let mut text = String::from(
            "# Targets and laws\n\nWritten and compared by the tests; `UPDATE=1` writes it anew. `yes`: the law has a \
             test of that name\nfor that target, and it passes. `n/a`: the law asks nothing of the target, for \
             want of what is named.\n\n",
        );
        text.push_str(LEGEND);
        let mut row = |cells: &mut dyn Iterator<Item = &str>| {
            for cell in cells {
                text.push_str("| ");
                text.push_str(cell);
                text.push(' ');
            }
            text.push_str("|\n");
        };
        row(&mut ["law", "case"].into_iter().chain(self.columns.keys().map(String::as_str)));
        row(&mut std::iter::repeat_n("---", self.columns.len() + 2));
        for (at, law) in LAWS.iter().enumerate() {
            let number = law.number.to_string();
            let cells = self.columns.values().map(|column| &*column[at]);
            row(&mut [&*number, law.name].into_iter().chain(cells));
        }
        text
    }
}
