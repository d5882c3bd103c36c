//! Messages that are no envelopes, or only just.

use super::{Case, cases};
use crate::support::{BINARY, TEXT, envelope, frame, text};

/// Sent, and nobody hears it.
fn bad(message: &str) -> (Vec<u8>, Vec<String>) {
    (text(message), Vec::new())
}

fn all_bad<'m>(messages: impl IntoIterator<Item = &'m str>) -> (Vec<u8>, Vec<String>) {
    (messages.into_iter().flat_map(text).collect(), Vec::new())
}

/// Sent, and the witness hears it byte for byte.
fn good(message: &str) -> (Vec<u8>, Vec<String>) {
    (text(message), vec![message.to_owned()])
}

fn nested(depth: usize) -> String {
    // The envelope is one level itself.
    envelope("a", "b", &["[".repeat(depth - 1), "]".repeat(depth - 1)].concat())
}

/// An envelope of exactly so many bytes.
pub(super) fn sized(bytes: usize) -> String {
    let empty = envelope("a", "b", "\"\"").len();
    envelope("a", "b", &format!("\"{}\"", "x".repeat(bytes - empty)))
}

cases! {
    truncated: Case::text("JSON that is cut off", "counted as `not_json`", "goes on",
        || bad(r#"{"type":"a","id":"b","payload":{"x":"#));
    empty: Case::text("an empty message", "counted as `not_json`", "goes on", || bad(""));
    no_json: Case::text("no JSON: words, a comma too many, single quotes, a raw line break in a string",
        "4 counted as `not_json`", "goes on",
        || all_bad(["hello", r#"{"type":"a","id":"b",}"#, "{'type':'a','id':'b'}", "{\"type\":\"a\",\"id\":\"b\n\"}"]));
    no_object: Case::text("no object: `[]`, `\"a:b\"`, `null`, `7`", "4 counted as `not_an_object`", "goes on",
        || all_bad(["[]", "\"a:b\"", "null", "7"]));
    missing: Case::text("`type` or `id` missing", "3 counted as `missing_member`", "goes on",
        || all_bad(["{}", r#"{"type":"a","payload":1}"#, r#"{"id":"b","payload":1}"#]));
    not_strings: Case::text("`type` or `id` not a string", "4 counted as `not_a_string`", "goes on",
        || all_bad([r#"{"type":1,"id":"b"}"#, r#"{"type":["a"],"id":"b"}"#, r#"{"type":"a","id":null}"#, r#"{"type":"a","id":{}}"#]));
    empty_type: Case::text("`type` empty", "counted as `empty_type`", "goes on", || bad(r#"{"type":"","id":"b"}"#));
    repeated: Case::text("`type` or `id` twice, the same or not", "3 counted as `repeated_member`", "goes on",
        || all_bad([
            r#"{"type":"a","type":"a","id":"b"}"#,
            r#"{"type":"a","id":"b","type":"c"}"#,
            r#"{"type":"a","id":"b","id":"b"}"#,
        ]));
    escaped_name: Case::text(r#"`type` escaped: `"t\u0079pe"`"#, "delivered", "goes on",
        || good(r#"{"t\u0079pe":"a","id":"b","payload":1}"#));
    escaped_value: Case::text(r#"its value escaped: `"\u0061"`"#, "delivered", "goes on",
        || good(r#"{"type":"\u0061","id":"\u0062"}"#));
    escaped_twice: Case::text(r#"`"type"` and `"t\u0079pe"`, and the same of the others"#,
        "3 counted as `repeated_member`", "goes on",
        || all_bad([
            r#"{"type":"a","t\u0079pe":"a","id":"b"}"#,
            r#"{"type":"a","\u0069d":"b","id":"b"}"#,
            r#"{"type":"a","id":"b","payload":1,"p\u0061yload":1}"#,
        ]));
    lone_surrogate: Case::text(r#"half a surrogate pair in `type` or `id`"#, "3 counted as `lone_surrogate`", "goes on",
        || all_bad([
            r#"{"type":"\ud800","id":"b"}"#,
            r#"{"type":"a","id":"\udc00"}"#,
            r#"{"type":"a","id":"\udc00\ud800"}"#,
        ]));
    lone_surrogate_within: Case::text("the same inside `payload`", "delivered", "goes on",
        || good(r#"{"type":"a","id":"b","payload":"\ud800"}"#));
    no_payload: Case::text("`payload` missing, or null", "2 delivered", "goes on", || {
        let messages = [r#"{"type":"a","id":"b"}"#, r#"{"type":"a","id":"b","payload":null}"#];
        (messages.iter().flat_map(|message| text(message)).collect(), messages.map(str::to_owned).into())
    });
    payload_twice: Case::text("`payload` twice", "counted as `repeated_member`", "goes on",
        || bad(r#"{"type":"a","id":"b","payload":1,"payload":1}"#));
    odd_payload: Case::text("keys twice and numbers of any size inside `payload`", "delivered", "goes on",
        || good(r#"{ "type":"a", "id":"b", "payload":{"x":1e400,"x":9007199254740993,"x":-0} }"#));
    unknown_members: Case::text("members that nobody knows", "delivered", "goes on",
        || good(r#"{"hop":1,"type":"a","":{},"id":"b","Type":"c"}"#));
    reserved_members: Case::text("members that begin with `__`, escaped or not", "2 counted as `reserved_member`", "goes on",
        || all_bad([r#"{"type":"a","id":"b","__hop":1}"#, r#"{"type":"a","id":"b","\u005f_hop":1}"#]));
    largest: Case::text("a message of 64 KiB", "delivered", "goes on", || good(&sized(64 << 10)));
    too_large: Case::text("one of 64 KiB and a byte", "nothing", "closed with 1009", || bad(&sized((64 << 10) + 1)));
    too_large_in_fragments: Case::text("the same in fragments", "nothing", "closed with 1009", || {
        let message = sized((64 << 10) + 1);
        let (first, second) = message.as_bytes().split_at(40_000);
        ([frame(0x01, first), frame(0x80, second)].concat(), Vec::new())
    });
    deepest: Case::text("64 levels, the envelope among them", "delivered", "goes on", || good(&nested(64)));
    too_deep: Case::text("65 levels", "counted as `too_deep`", "goes on", || bad(&nested(65)));
    too_deep_elsewhere: Case::text("65 levels in a member that nobody knows", "counted as `too_deep`", "goes on", || {
        bad(&nested(65).replace("payload", "x"))
    });
    brackets: Case::text("64 KiB of `[`, alone or in an envelope", "2 counted as `too_deep`", "goes on", || {
        all_bad(["[".repeat(64 << 10).as_str(), &envelope("a", "b", &"[".repeat(65_000))])
    });
    megabyte_of_brackets: Case::text("1 MiB of `[`", "nothing", "closed with 1009", || bad(&"[".repeat(1 << 20)));
    byte_order_mark: Case::text("a byte order mark in front", "counted as `byte_order_mark`", "goes on",
        || bad("\u{feff}{\"type\":\"a\",\"id\":\"b\"}"));
    trailing: Case::text("something behind the envelope: letters, NUL, a second envelope", "3 counted as `trailing_bytes`", "goes on",
        || all_bad([
            r#"{"type":"a","id":"b"}x"#,
            "{\"type\":\"a\",\"id\":\"b\"}\0",
            r#"{"type":"a","id":"b"}{"type":"a","id":"b"}"#,
        ]));
    not_utf8: Case::text("invalid UTF-8 in a text message", "counted as `not_utf8`", "closed with 1007",
        || (frame(TEXT, b"{\"type\":\"a\",\"id\":\"\xff\"}"), Vec::new()));
    not_utf8_binary: Case::text("invalid UTF-8 in binary ones: a lone byte, a surrogate, an overlong `/`",
        "3 counted as `not_utf8`", "goes on", || {
            let ids: [&[u8]; 3] = [b"\xff", b"\xed\xa0\x80", b"\xc0\xaf"];
            let frames = ids.map(|id| frame(BINARY, &[b"{\"type\":\"a\",\"id\":\"", id, b"\"}"].concat()));
            (frames.concat(), Vec::new())
        });
    binary: Case::text("an envelope in a binary message", "delivered", "goes on", || {
        let message = envelope("a", "b", "\"é\"");
        (frame(BINARY, message.as_bytes()), vec![message])
    });
    character_in_two: Case::text("a character that two fragments share", "delivered", "goes on", || {
        let message = envelope("a", "b", "\"é\"");
        let (first, second) = message.as_bytes().split_at(message.find('é').unwrap() + 1);
        ([frame(0x01, first), frame(0x80, second)].concat(), vec![message.clone()])
    });
    half_a_character: Case::text("half a character at the end of a fragmented text", "counted as `not_utf8`", "closed with 1007",
        || ([frame(0x01, b"{\"type\":\"\xc3"), frame(0x80, b"\"}")].concat(), Vec::new()));
    ninety_nine: Case::text("99 bad messages at once", "99 counted as `not_json`", "goes on",
        || (text("bad").repeat(99), Vec::new()));
    hundred: Case::text("100 at once, and an envelope behind them", "100 counted as `not_json`", "closed with 1007",
        || ([text("bad").repeat(100), text(&envelope("a", "b", "1"))].concat(), Vec::new()));
    hundred_in_two_parts: Case::story("50 in one moment, and 50 nine seconds later", "50 counted as `not_an_object`, 50 counted as `not_json`",
        "closed with 1007", |stage| Box::pin(async move {
            let mut peer = stage.peer().await;
            peer.send(text("bad").repeat(50)).await;
            peer.flush().await;
            stage.pass(std::time::Duration::from_secs(9)).await;
            stage.converse(peer, &text("[]"), 50).await;
        }));
    hundred_over_time: Case::story("99 in one moment, and 99 eleven seconds later", "99 counted as `not_an_object`, 99 counted as `not_json`",
        "goes on", |stage| Box::pin(async move {
            let mut peer = stage.peer().await;
            peer.send(text("bad").repeat(99)).await;
            peer.flush().await;
            stage.pass(std::time::Duration::from_secs(11)).await;
            stage.converse(peer, &text("[]"), 99).await;
        }));
}
