//! What `#[derive(Event)]` does, on `proc_macro2` tokens: those of `proc_macro` exist only inside the compiler, where no
//! unit test can call.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::meta::ParseNestedMeta;
use syn::parse::discouraged::Speculative as _;
use syn::{Attribute, Data, DeriveInput, Error, Fields, LitStr, Meta, Path, Result, parse_quote};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    refuse_inner_attributes(&input.data)?;
    if let Some(lifetime) = input.generics.lifetimes().next() {
        return Err(Error::new_spanned(
            lifetime,
            "an event owns what it carries, so its type has no lifetime parameter: use `String` or `Arc<str>` for \
             `&str`, `Vec<u8>` or `Bytes` for `&[u8]`",
        ));
    }

    let keys = Keys::read(input)?;
    let event_type = keys.event_type;
    let alkpubsub = keys.alkpubsub.unwrap_or_else(|| parse_quote!(::alkpubsub));

    let ident = &input.ident;
    let mut generics = input.generics.clone();
    // Asked of the whole type, not of each parameter: `PhantomData<T>` is readable whatever `T` is, and what serde's own
    // attributes say about bounds stays true. Left out where nothing is generic, because a bound that names no
    // parameter turns "CallResponded is not Serialize" into an error about trivial bounds.
    if generics.type_params().next().is_some() {
        let (_, type_generics, _) = input.generics.split_for_impl();
        generics.make_where_clause().predicates.push(parse_quote!(
            #ident #type_generics: ::serde::Serialize
                + ::serde::de::DeserializeOwned
                + ::core::marker::Send
                + ::core::marker::Sync
                + 'static
        ));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();

    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #alkpubsub::Event for #ident #type_generics #where_clause {
            const TYPE: &'static str = #event_type;
        }
    })
}

/// What `#[event(...)]` may say. It may stand more than once; a key may not.
struct Keys {
    event_type: LitStr,
    alkpubsub: Option<Path>,
}

impl Keys {
    fn read(input: &DeriveInput) -> Result<Self> {
        let mut event_type = None;
        let mut alkpubsub = None;
        for attribute in input.attrs.iter().filter(|a| a.path().is_ident("event")) {
            if !matches!(attribute.meta, Meta::List(_)) {
                return Err(Error::new_spanned(
                    attribute,
                    "the event type stands in parentheses: write `#[event(type = \"...\")]`",
                ));
            }
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("type") {
                    let value = string(&meta, "type")?;
                    check_event_type(&value)?;
                    set_once(&mut event_type, value, &meta, "type")
                } else if meta.path.is_ident("crate") {
                    let value = string(&meta, "crate")?;
                    let path = value.parse_with(Path::parse_mod_style).map_err(|_| {
                        Error::new_spanned(
                            &value,
                            "`crate` holds the path to alkpubsub, for example `crate = \"::facade::alkpubsub\"`",
                        )
                    })?;
                    set_once(&mut alkpubsub, path, &meta, "crate")
                } else {
                    let key = meta.path.to_token_stream().to_string().replace(' ', "");
                    Err(Error::new_spanned(
                        &meta.path,
                        format!("unknown key `{key}`: `#[event(...)]` takes `type` and `crate`"),
                    ))
                }
            })?;
        }
        let event_type = event_type.ok_or_else(|| {
            Error::new_spanned(
                &input.ident,
                format!(
                    "no event type: write `#[event(type = \"...\")]` above `{}`. It goes on the wire, so it is not \
                     guessed from the name of the Rust type",
                    input.ident
                ),
            )
        })?;
        Ok(Self { event_type, alkpubsub })
    }
}

/// The rules for an event type that is written in Rust; the library checks at run time what comes from elsewhere.
fn check_event_type(value: &LitStr) -> Result<()> {
    let text = value.value();
    if text.is_empty() {
        Err(Error::new_spanned(value, "the event type is empty: give it a name, such as \"call.responded\""))
    } else if text.starts_with("__") {
        Err(Error::new_spanned(
            value,
            format!("types that begin with `__` are control events, the adapters' own talk: rename {text:?}"),
        ))
    } else if text.contains(':') {
        Err(Error::new_spanned(
            value,
            format!(
                "a topic is `type:id`, split at its first `:`, so a type holds none: rename {text:?}, for example \
                 to {:?}",
                text.replace(':', ".")
            ),
        ))
    } else {
        Ok(())
    }
}

fn string(meta: &ParseNestedMeta<'_>, key: &str) -> Result<LitStr> {
    let wrong = |error: Error| Error::new(error.span(), format!("write `{key} = \"...\"`: a string literal"));
    let value = meta.value().map_err(wrong)?;
    // A literal is looked for on a copy: what is found in its place is then underlined whole, as an expression.
    let ahead = value.fork();
    match ahead.parse::<LitStr>() {
        Ok(literal) if literal.suffix().is_empty() => {
            value.advance_to(&ahead);
            Ok(literal)
        }
        Ok(literal) => Err(wrong(Error::new_spanned(literal, ""))),
        Err(error) => Err(wrong(match value.parse::<syn::Expr>() {
            Ok(expression) => Error::new_spanned(expression, ""),
            Err(_) => error,
        })),
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>, key: &str) -> Result<()> {
    if slot.is_some() {
        return Err(Error::new_spanned(&meta.path, format!("`{key}` is given twice: keep one of them")));
    }
    *slot = Some(value);
    Ok(())
}

/// The compiler lets helper attributes stand on fields and variants too. There, `#[event(type = ...)]` would look as if
/// each variant had an event type of its own, and do nothing.
fn refuse_inner_attributes(data: &Data) -> Result<()> {
    let none_on = |attributes: &[Attribute], what: &str| match attributes
        .iter()
        .find(|a| a.path().is_ident("event"))
    {
        None => Ok(()),
        Some(attribute) => Err(Error::new_spanned(
            attribute,
            format!("`#[event(...)]` belongs above the type, not on a {what}: a Rust type is one event type"),
        )),
    };
    let none_in = |fields: &Fields| fields.iter().try_for_each(|field| none_on(&field.attrs, "field"));
    match data {
        Data::Struct(data) => none_in(&data.fields),
        Data::Enum(data) => data.variants.iter().try_for_each(|variant| {
            none_on(&variant.attrs, "variant")?;
            none_in(&variant.fields)
        }),
        Data::Union(data) => data.fields.named.iter().try_for_each(|field| none_on(&field.attrs, "field")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand_text(source: &str) -> Result<TokenStream> {
        expand(&syn::parse_str(source).expect("the test's source is a Rust item"))
    }

    #[track_caller]
    fn expands_to(source: &str, expected: TokenStream) {
        let expansion = expand_text(source).expect("expands");
        assert_eq!(expansion.to_string(), expected.to_string());
    }

    #[track_caller]
    fn is_refused(source: &str, message: &str) {
        let error = expand_text(source).expect_err("is refused");
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn a_struct_gets_its_type() {
        expands_to(
            r#"#[event(type = "call.responded")] struct CallResponded { output: u32 }"#,
            quote! {
                #[automatically_derived]
                impl ::alkpubsub::Event for CallResponded {
                    const TYPE: &'static str = "call.responded";
                }
            },
        );
    }

    #[test]
    fn unit_tuple_and_enum_get_their_type() {
        for item in ["struct Ready;", "struct Ready(u32);", "enum Ready { Yes, No { why: String } }"] {
            expands_to(
                &format!(r#"#[event(type = "ready")] {item}"#),
                quote! {
                    #[automatically_derived]
                    impl ::alkpubsub::Event for Ready {
                        const TYPE: &'static str = "ready";
                    }
                },
            );
        }
    }

    #[test]
    fn generic_types_ask_of_the_whole_type() {
        expands_to(
            r#"#[event(type = "page")]
               struct Page<T: Clone = u8, const N: usize = 4> where T: Default { items: [T; N] }"#,
            quote! {
                #[automatically_derived]
                impl<T: Clone, const N: usize> ::alkpubsub::Event for Page<T, N>
                where
                    T: Default,
                    Page<T, N>: ::serde::Serialize
                        + ::serde::de::DeserializeOwned
                        + ::core::marker::Send
                        + ::core::marker::Sync
                        + 'static
                {
                    const TYPE: &'static str = "page";
                }
            },
        );
    }

    #[test]
    fn const_parameters_alone_need_no_bounds() {
        expands_to(
            r#"#[event(type = "block")] struct Block<const N: usize> { size: u32 }"#,
            quote! {
                #[automatically_derived]
                impl<const N: usize> ::alkpubsub::Event for Block<N> {
                    const TYPE: &'static str = "block";
                }
            },
        );
    }

    #[test]
    fn the_crate_can_be_named() {
        for source in [
            r#"#[event(type = "ready", crate = "::facade::alkpubsub")] struct Ready;"#,
            r#"#[event(crate = "::facade::alkpubsub", type = "ready",)] struct Ready;"#,
            r#"#[event(type = "ready")] #[event(crate = "::facade::alkpubsub")] struct Ready;"#,
        ] {
            expands_to(
                source,
                quote! {
                    #[automatically_derived]
                    impl ::facade::alkpubsub::Event for Ready {
                        const TYPE: &'static str = "ready";
                    }
                },
            );
        }
        expands_to(
            r#"#[event(type = "ready", crate = "crate")] struct Ready;"#,
            quote! {
                #[automatically_derived]
                impl crate::Event for Ready {
                    const TYPE: &'static str = "ready";
                }
            },
        );
    }

    #[test]
    fn attributes_of_others_are_left_alone() {
        expands_to(
            r#"#[serde(rename_all = "camelCase")] #[event(type = "ready")] struct Ready { #[serde(skip)] at: u32 }"#,
            quote! {
                #[automatically_derived]
                impl ::alkpubsub::Event for Ready {
                    const TYPE: &'static str = "ready";
                }
            },
        );
    }

    #[test]
    fn types_that_only_look_reserved_pass() {
        for event_type in ["_", "_private", "a__b", "a.b__", " ", "*", "Zustand geändert"] {
            expands_to(
                &format!(r#"#[event(type = "{event_type}")] struct Ready;"#),
                quote! {
                    #[automatically_derived]
                    impl ::alkpubsub::Event for Ready {
                        const TYPE: &'static str = #event_type;
                    }
                },
            );
        }
    }

    #[test]
    fn a_missing_type_is_refused() {
        let message = "no event type: write `#[event(type = \"...\")]` above `Ready`. It goes on the wire, so it is \
                       not guessed from the name of the Rust type";
        is_refused("struct Ready;", message);
        is_refused("#[event()] struct Ready;", message);
        is_refused(r#"#[event(crate = "a")] struct Ready;"#, message);
    }

    #[test]
    fn an_attribute_without_parentheses_is_refused() {
        let message = "the event type stands in parentheses: write `#[event(type = \"...\")]`";
        is_refused("#[event] struct Ready;", message);
        is_refused(r#"#[event = "ready"] struct Ready;"#, message);
    }

    #[test]
    fn an_empty_type_is_refused() {
        is_refused(
            r#"#[event(type = "")] struct Ready;"#,
            "the event type is empty: give it a name, such as \"call.responded\"",
        );
    }

    #[test]
    fn a_control_type_is_refused() {
        is_refused(
            r#"#[event(type = "__subscribe")] struct Ready;"#,
            "types that begin with `__` are control events, the adapters' own talk: rename \"__subscribe\"",
        );
    }

    #[test]
    fn a_colon_is_refused() {
        is_refused(
            r#"#[event(type = "call:responded")] struct Ready;"#,
            "a topic is `type:id`, split at its first `:`, so a type holds none: rename \"call:responded\", for \
             example to \"call.responded\"",
        );
    }

    #[test]
    fn a_key_given_twice_is_refused() {
        let message = "`type` is given twice: keep one of them";
        is_refused(r#"#[event(type = "a", type = "a")] struct Ready;"#, message);
        is_refused(r#"#[event(type = "a")] #[event(type = "b")] struct Ready;"#, message);
        is_refused(
            r#"#[event(type = "a", crate = "b", crate = "c")] struct Ready;"#,
            "`crate` is given twice: keep one of them",
        );
    }

    #[test]
    fn an_unknown_key_is_refused() {
        is_refused(
            r#"#[event(typ = "a")] struct Ready;"#,
            "unknown key `typ`: `#[event(...)]` takes `type` and `crate`",
        );
        is_refused(
            r#"#[event(my::name)] struct Ready;"#,
            "unknown key `my::name`: `#[event(...)]` takes `type` and `crate`",
        );
    }

    #[test]
    fn a_value_that_is_no_string_is_refused() {
        for source in [
            "#[event(type = 3)] struct Ready;",
            "#[event(type = READY)] struct Ready;",
            r#"#[event(type = concat!("a", "b"))] struct Ready;"#,
            r#"#[event(type = b"ready")] struct Ready;"#,
            r#"#[event(type = "ready"u8)] struct Ready;"#,
            r#"#[event(type("ready"))] struct Ready;"#,
            "#[event(type)] struct Ready;",
            "#[event(type = )] struct Ready;",
        ] {
            is_refused(source, "write `type = \"...\"`: a string literal");
        }
        is_refused(
            r#"#[event(type = "ready", crate = facade)] struct Ready;"#,
            "write `crate = \"...\"`: a string literal",
        );
    }

    #[test]
    fn a_crate_that_is_no_path_is_refused() {
        for path in ["", "a b", "a::<u8>", "a-b"] {
            is_refused(
                &format!(r#"#[event(type = "ready", crate = "{path}")] struct Ready;"#),
                "`crate` holds the path to alkpubsub, for example `crate = \"::facade::alkpubsub\"`",
            );
        }
    }

    #[test]
    fn attributes_inside_the_type_are_refused() {
        let on = |what| {
            format!("`#[event(...)]` belongs above the type, not on a {what}: a Rust type is one event type")
        };
        is_refused(r#"#[event(type = "a")] enum Ready { #[event(type = "b")] Yes, No }"#, &on("variant"));
        is_refused(r#"#[event(type = "a")] enum Ready { Yes(#[event(type = "b")] u8) }"#, &on("field"));
        is_refused(r#"#[event(type = "a")] struct Ready { #[event(type = "b")] at: u8 }"#, &on("field"));
        is_refused(r#"#[event(type = "a")] union Ready { #[event(type = "b")] at: u8 }"#, &on("field"));
    }

    #[test]
    fn a_lifetime_is_refused() {
        is_refused(
            r#"#[event(type = "ready")] struct Ready<'a> { name: &'a str }"#,
            "an event owns what it carries, so its type has no lifetime parameter: use `String` or `Arc<str>` for \
             `&str`, `Vec<u8>` or `Bytes` for `&[u8]`",
        );
    }
}
