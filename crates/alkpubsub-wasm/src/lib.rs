//! The core as one WebAssembly module that imports nothing.
//!
//! It decides what links do, and, with the feature `hub`, what hubs do, and never calls out: JavaScript moves text in and out, keeps its listeners and payloads,
//! and asks what a message means. A call takes and gives numbers. Text goes in by the [`scratch`] memory, and what is
//! more than one number comes out by [`words`]. Times are milliseconds from any fixed point, as those of
//! `performance.now()`.
//!
//! [`scratch`]: exports::scratch
//! [`words`]: exports::words

// Exports are named by attributes that are unsafe where two have one name; the linker refuses that. Nothing else here
// is unsafe.
#[cfg(feature = "hub")]
mod broker;
#[allow(unsafe_code, reason = "the attribute that names an export")]
pub mod exports;
#[cfg(feature = "hub")]
mod hub;
mod link;
mod message;
mod topics;

#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

use slab::Slab;
use std::cell::RefCell;
use std::time::Duration;

/// All that lives in this instance.
struct Instance {
    shared: Shared,
    links: Slab<link::LinkEnd>,
    #[cfg(feature = "hub")]
    hubs: Slab<hub::HubEnd>,
}

/// What calls hand over text and numbers by.
struct Shared {
    /// What JavaScript wrote.
    input: Vec<u8>,
    /// What it may read, until the next call.
    text: String,
    numbers: Vec<u32>,
    /// The first of what a call gives beside its result.
    words: [u32; 8],
}

impl Shared {
    const fn new() -> Self {
        Self { input: Vec::new(), text: String::new(), numbers: Vec::new(), words: [0; 8] }
    }

    /// What JavaScript wrote as text of its own: never anything but UTF-8.
    fn input(&self, length: usize) -> &str {
        self.input.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// Gives text out: where it is in the first word, its length in the second.
    fn give(&mut self, text: &str) {
        self.text.clear();
        self.text.push_str(text);
        self.give_text();
    }

    /// The same for what is the text already.
    fn give_text(&mut self) {
        tell_place(&mut self.words, self.text.as_ptr(), self.text.len());
    }

    /// The same for two texts, with a line break between them; the second may borrow from the input.
    fn give_two(text: &mut String, words: &mut [u32; 8], first: &str, second: &str) {
        text.clear();
        for part in [first, "\n", second] {
            text.push_str(part);
        }
        tell_place(words, text.as_ptr(), text.len());
    }

    /// The same for a list of numbers.
    fn give_numbers(&mut self, numbers: impl Iterator<Item = u32>) {
        self.numbers.clear();
        self.numbers.extend(numbers);
        self.give_place();
    }

    /// The same for what is the list already.
    fn give_place(&mut self) {
        tell_place(&mut self.words, self.numbers.as_ptr(), self.numbers.len());
    }
}

fn tell_place<T>(words: &mut [u32; 8], place: *const T, length: usize) {
    (words[0], words[1]) = (place as usize as u32, length as u32);
}

thread_local! {
    static INSTANCE: RefCell<Instance> = const {
        RefCell::new(Instance {
            shared: Shared::new(),
            links: Slab::new(),
            #[cfg(feature = "hub")]
            hubs: Slab::new(),
        })
    };
}

fn with<T>(call: impl FnOnce(&mut Instance) -> T) -> T {
    INSTANCE.with(|instance| call(&mut instance.borrow_mut()))
}

/// One link, and what is shared.
fn with_link<T>(link: u32, call: impl FnOnce(&mut link::LinkEnd, &mut Shared) -> T) -> T {
    with(|Instance { shared, links, .. }| call(&mut links[link as usize], shared))
}

/// One hub, and what is shared.
#[cfg(feature = "hub")]
fn with_hub<T>(hub: u32, call: impl FnOnce(&mut hub::HubEnd, &mut Shared) -> T) -> T {
    with(|Instance { shared, hubs, .. }| call(&mut hubs[hub as usize], shared))
}

fn time(milliseconds: f64) -> Duration {
    Duration::from_micros((milliseconds * 1000.0) as u64)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
