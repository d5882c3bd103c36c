//! `#[derive(Event)]` for alkpubsub.
//!
//! A program does not depend on this crate: `alkpubsub` hands the macro out under the name of its trait, so that one
//! `use alkpubsub::Event;` brings both.

use proc_macro::TokenStream;

mod event;

/// Gives a payload type its event type: implements `alkpubsub::Event`.
///
/// ```ignore (the trait lives in alkpubsub, which this crate cannot depend on; its own page has this example tested)
/// use alkpubsub::Event;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(type = "call.responded")]
/// struct CallResponded {
///     output: u32,
/// }
///
/// assert_eq!(CallResponded::TYPE, "call.responded");
/// ```
///
/// expands to
///
/// ```ignore (an expansion, not a program)
/// impl ::alkpubsub::Event for CallResponded {
///     const TYPE: &'static str = "call.responded";
/// }
/// ```
///
/// # Keys of `#[event(...)]`
///
/// | key | value |
/// | --- | --- |
/// | `type` | The event type, as it goes on the wire. Required: a name taken from the Rust type would change on the wire whenever somebody renames the type. |
/// | `crate` | The path under which `alkpubsub` is reached, if that is not `::alkpubsub`: for crates that re-export it, and for programs that renamed it in their `Cargo.toml`. |
///
/// Both are string literals: a macro sees names, not the values of constants.
///
/// # What is refused
///
/// Each with a message at the place in question:
///
/// - no `#[event(type = "...")]`, or `type` or `crate` given twice, or a key that is none of the two;
/// - a value that is no string literal, or a `crate` that is no path;
/// - an empty type;
/// - a type that begins with `__`: those are the control events of the adapters;
/// - a type with a `:` in it. The topic of an event is `type:id`, and whatever decides on rights splits it at its first
///   `:`. Such types are legal on the wire, for programs in other languages that use them; there is the untyped face
///   for them;
/// - `#[event(...)]` on a field or a variant, where it would have no effect: an enum is one event type, not one for each
///   variant;
/// - a type with a lifetime parameter: an event owns what it carries.
///
/// # Generic types
///
/// All instances of a generic type share one event type. Whether an instance is an event depends on whether it can be
/// written and read, and this is asked of the instance as a whole:
///
/// ```ignore (an expansion, not a program)
/// impl<T> ::alkpubsub::Event for Page<T>
/// where
///     Page<T>: ::serde::Serialize + ::serde::de::DeserializeOwned + Send + Sync + 'static,
/// {
///     const TYPE: &'static str = "page";
/// }
/// ```
///
/// so the type needs no bounds of its own. `serde` has to be a dependency under that name for this.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    event::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
