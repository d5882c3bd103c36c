//! The laws can fail: each wrong target is killed by a law, each law kills a wrong target, and without their flaws
//! the same targets keep all laws.

use alkpubsub::conformance::wrong::{WRONG, Wrong, sound};
use alkpubsub::conformance::{self, LAWS, Law, Outcome};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance").join(file)
}

/// Most of the pairs wait for a deadline, not for a processor.
fn in_parallel<T: Send, R: Send>(work: Vec<T>, run: impl Fn(&T) -> R + Sync) -> Vec<(T, R)> {
    let work = Mutex::new(VecDeque::from(work));
    let done = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..64 {
            threads.spawn(|| {
                loop {
                    let Some(next) = work.lock().unwrap().pop_front() else { return };
                    let result = run(&next);
                    done.lock().unwrap().push((next, result));
                }
            });
        }
    });
    done.into_inner().unwrap()
}

fn pairs(laws: impl Fn(&Wrong) -> Vec<&'static Law>) -> Vec<(&'static Wrong, &'static Law)> {
    WRONG.iter().flat_map(|wrong| laws(wrong).into_iter().map(move |law| (wrong, law))).collect()
}

#[test]
fn each_wrong_target_dies_by_its_laws() {
    let named = |wrong: &Wrong| wrong.killed_by.iter().map(|name| Law::named(name).expect(name)).collect();
    let mut done = in_parallel(pairs(named), |(wrong, law)| conformance::check(law, &wrong.fixture()));
    done.sort_by_key(|((wrong, law), _)| (wrong.name, law.name));
    let mut alive = Vec::new();
    for ((wrong, law), outcome) in done {
        match outcome {
            Outcome::Failed(violation) => println!("{} dies by {}: {violation}", wrong.name, law.name),
            other => alive.push(format!("{} survives {}: {other:?}", wrong.name, law.name)),
        }
    }
    assert!(alive.is_empty(), "{}", alive.join("\n"));
}

#[test]
fn each_law_kills() {
    let kills = |law: &&Law| !WRONG.iter().any(|wrong| wrong.killed_by.contains(&law.name));
    let idle: Vec<_> = LAWS.iter().filter(kills).map(|law| law.name).collect();
    assert!(idle.is_empty(), "no wrong target dies by {idle:?}");
}

#[test]
fn sound_targets_keep_all_laws() {
    let targets = sound();
    let pairs = targets.iter().flat_map(|target| LAWS.iter().map(move |law| (target, law))).collect();
    for (((name, _), law), outcome) in
        in_parallel(pairs, |((_, fixture), law)| conformance::check(law, fixture))
    {
        assert!(!matches!(outcome, Outcome::Failed(_)), "{name}, {}: {outcome:?}", law.name);
    }
    for (name, fixture) in &targets {
        conformance::matrix_column(&docs("matrix.md"), name, &**fixture);
    }
}

#[test]
fn the_table_is_committed() {
    let mut text = String::from(
        "# Wrong targets\n\nEach breaks the contract in one way and dies by the laws named; the tests see to both, \
         and to that each law kills one. Written and compared by the tests; `UPDATE=1` writes it anew.\n\n\
         | wrong target | what it does | dies by |\n| --- | --- | --- |\n",
    );
    for wrong in WRONG {
        text.push_str(&format!("| {} | {} | {} |\n", wrong.name, wrong.what, wrong.killed_by.join(", ")));
    }
    conformance::committed(&docs("wrong-targets.md"), &text);
}
