//! `derive(Event)`.
#[proc_macro_derive(Event, attributes(event))]
pub fn event(_: proc_macro::TokenStream) -> proc_macro::TokenStream { proc_macro::TokenStream::new() }
