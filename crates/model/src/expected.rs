//! What the readers of JSON and YAML expect at a place, as people call it: their own words are names of this program's types.

use std::borrow::Cow;

/// Between what a reader found and what it expected.
const BETWEEN: &str = ", expected ";

/// What is expected, by the name of a type: of `u32` a whole number with its range, of `struct Jitter` a map.
pub fn plain(name: &str) -> Cow<'_, str> {
    let whole = |first: i128, last: i128| Cow::Owned(format!("a whole number from {first} to {last}"));
    match name {
        "u8" => whole(0, u8::MAX.into()),
        "u16" => whole(0, u16::MAX.into()),
        "u32" => whole(0, u32::MAX.into()),
        "u64" => whole(0, u64::MAX.into()),
        "i32" => whole(i32::MIN.into(), i32::MAX.into()),
        "i64" => whole(i64::MIN.into(), i64::MAX.into()),
        "f32" | "f64" | "floating point" => "a number".into(),
        name if name.starts_with("struct ") => "a map (key: value)".into(),
        name => name.into(),
    }
}

/// A message of the JSON reader, which ends in what it expected and at times in where.
pub fn in_words(message: &str) -> Cow<'_, str> {
    let Some((found, rest)) = message.rsplit_once(BETWEEN) else { return message.into() };
    let (name, place) = rest.split_at(rest.find(" at line ").unwrap_or(rest.len()));
    match plain(name) {
        Cow::Borrowed(same) if same == name => message.into(),
        plain => format!("{found}{BETWEEN}{plain}{place}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_types_become_what_people_write() {
        for (message, expected) in [
            (
                "invalid value: integer `-1`, expected u32 at line 1 column 5",
                "invalid value: integer `-1`, expected a whole number from 0 to 4294967295 at line 1 column 5",
            ),
            (
                "invalid type: string \"5m\", expected struct Jitter",
                "invalid type: string \"5m\", expected a map (key: value)",
            ),
            ("invalid type: string \"x\", expected f64", "invalid type: string \"x\", expected a number"),
            (
                "invalid value: integer `300`, expected u8",
                "invalid value: integer `300`, expected a whole number from 0 to 255",
            ),
            ("invalid type: string \"x\", expected a boolean", "invalid type: string \"x\", expected a boolean"),
            ("EOF while parsing at line 1", "EOF while parsing at line 1"),
        ] {
            assert_eq!(in_words(message), expected);
        }
    }
}
