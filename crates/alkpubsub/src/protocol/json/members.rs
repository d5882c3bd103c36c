//! The members of an object, one after the other.

use super::super::check::MessageLimits;
use super::text::unescape;
use super::{Json, past_space};

/// Calls `each` with the name and the value's text of each member of an object; `None` where the text is no object.
///
/// A name with a lone surrogate is given with U+FFFD in its place: it is none that anybody asks for.
pub(crate) fn members<'t>(object: &'t str, each: &mut dyn FnMut(&str, &'t str)) -> Option<()> {
    let json = Json::new(object, MessageLimits::MOST_DEPTH);
    let mut left = past_space(object.as_bytes().strip_prefix(b"{")?);
    if left == b"}" {
        return Some(());
    }
    loop {
        let (name, behind) = json.string(past_space(left).strip_prefix(b"\"")?).ok()?;
        let value = past_space(json.colon(behind).ok()?);
        let behind = json.value(value, 1).ok()?;
        each(unescape(name.text).as_deref().unwrap_or("\u{fffd}"), json.between(value, behind));
        left = match past_space(behind) {
            [b',', next @ ..] => next,
            [b'}'] => return Some(()),
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn read(object: &str) -> Option<Vec<(String, String)>> {
        let mut found = Vec::new();
        members(object, &mut |name, value| found.push((name.to_owned(), value.to_owned())))?;
        Some(found)
    }

    #[test]
    fn each_member_comes_as_it_stands() {
        let member = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read("{}"), Some(vec![]));
        assert_eq!(read("{ }"), Some(vec![]));
        assert_eq!(
            read(r#"{ "a" : [ 1 ] , "a":{"b":"}"},"\u0063":null , "\ud800":0}"#),
            Some(vec![
                member("a", "[ 1 ]"),
                member("a", r#"{"b":"}"}"#),
                member("c", "null"),
                member("\u{fffd}", "0"),
            ])
        );
        for none in ["", "[]", "7", "\"{\"", "null"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("(?s).{0,4}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(
            members in prop::collection::btree_map("(?s).{0,4}", any_value(), 0..4),
            pretty: bool,
        ) {
            let object = if pretty { serde_json::to_string_pretty(&members) } else { serde_json::to_string(&members) };
            let read = read(&object.unwrap()).unwrap();
            let read = read.into_iter().map(|(name, value)| (name, serde_json::from_str::<Value>(&value).unwrap()));
            prop_assert!(read.eq(members));
        }
    }
}
