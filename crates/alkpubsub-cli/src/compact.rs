//! JSON text without the white space between its tokens; everything else is left as it is.

/// Appends `json`, which is valid, to `line`.
pub(crate) fn append(line: &mut Vec<u8>, json: &str) {
    let mut in_string = false;
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' if !in_string => continue,
            b'"' => in_string = !in_string,
            // What is escaped ends no string.
            b'\\' => {
                line.push(byte);
                line.extend(bytes.next());
                continue;
            }
            _ => {}
        }
        line.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::append;

    #[test]
    fn only_white_space_between_tokens_goes() {
        for (json, expected) in [
            ("{}", "{}"),
            (" {\t\"a b\" :\r\n [ 1 , 1e400 ] } \n", "{\"a b\":[1,1e400]}"),
            (r#"{ "\" \\" : "\u00e9 é\/" }"#, r#"{"\" \\":"\u00e9 é\/"}"#),
            (r#"[ "\\" , " ]", "" ]"#, r#"["\\"," ]",""]"#),
        ] {
            let mut line = b"before ".to_vec();
            append(&mut line, json);
            assert_eq!(String::from_utf8(line).unwrap(), format!("before {expected}"));
        }
    }
}
