//! Writes texts as strings and as embedded JSON, and knows what is a number in JSON.

use serde::de::IgnoredAny;

use super::super::{CHUNK, EncodeBuffer, column::ValueProblem, encode, number::parse_number};

/// Appends the text between the quotes of a string (RFC 8259, section 7).
#[inline]
pub(super) fn write_escaped(text: &str, out: &mut EncodeBuffer<'_>) {
    let mut bytes = text.as_bytes();
    let is_special = |byte| (byte == b'"') | (byte == b'\\') | (byte < 0x20);
    while let Some(index) = encode::find(bytes, is_special) {
        out.extend(&bytes[..index]);
        write_escape(bytes[index], out.bytes);
        bytes = &bytes[index + 1..];
    }
    out.extend(bytes);
}

/// Appends the escape of `byte`.
fn write_escape(byte: u8, out: &mut Vec<u8>) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        control => {
            out.extend_from_slice(b"\\u00");
            return encode::write_hex(&[control], out);
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

pub(super) const NOT_JSON: ValueProblem = ValueProblem::new(
    "is not valid JSON",
    "leave its --json-column out to write it as a string",
);
const LONE_SURROGATE: ValueProblem = ValueProblem::new(
    "holds an escape of half a character (a lone surrogate such as \\ud800), which many readers refuse",
    "leave its --json-column out to write it as a string",
);
pub(super) const NOT_A_NUMBER: ValueProblem = ValueProblem::new(
    "is not a number, though its column is numeric",
    "report it: the server or a proxy broke the protocol",
);

/// Appends text that is JSON without changing its tokens, so that numbers keep
/// their digits. A line end can only occur between tokens, where a space has the
/// same meaning and keeps the row on one line.
///
/// # Errors
/// [`NOT_JSON`] if `text` is not valid JSON, and [`LONE_SURROGATE`].
pub(super) fn embed(text: &str, out: &mut EncodeBuffer<'_>) -> Result<(), ValueProblem> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| NOT_JSON)?;
    if has_lone_surrogate(text.as_bytes()) {
        return Err(LONE_SURROGATE);
    }
    let without_line_ends = |byte: &u8| match byte {
        b'\n' | b'\r' => b' ',
        byte => *byte,
    };
    for piece in text.as_bytes().chunks(CHUNK) {
        out.bytes.extend(piece.iter().map(without_line_ends));
        out.spill_if_large();
    }
    Ok(())
}

/// Returns whether a string of the valid JSON `json` has the escape of a surrogate
/// without its other half, which stands for no character (RFC 8259, section 8.2).
fn has_lone_surrogate(mut json: &[u8]) -> bool {
    while let Some(backslash) = encode::find(json, |byte| byte == b'\\') {
        json = &json[backslash..];
        let escape = match (code_unit(json), json.get(6..).and_then(code_unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => return true,
            (Some(_), _) => 6,
            (None, _) => 2,
        };
        json = json.get(escape..).unwrap_or_default();
    }
    false
}

/// The UTF-16 code unit of an escape `\uXXXX` at the beginning of `json`.
fn code_unit(json: &[u8]) -> Option<u16> {
    let digits = json.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// Returns whether the integer `number` is beyond ±(2^53 − 1), where doubles no
/// longer represent every integer (RFC 8259, section 6).
pub(super) fn is_beyond_double(number: &[u8]) -> bool {
    const MAX_SAFE: &[u8] = b"9007199254740991";
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    digits.len() > MAX_SAFE.len() || (digits.len() == MAX_SAFE.len() && digits > MAX_SAFE)
}

/// Returns whether `text` is a number in JSON's grammar.
pub(super) fn is_number(text: &[u8]) -> bool {
    parse_number(text).is_some_and(|number| number.is_json_number())
}
