//! Encodes bytes as ASCII, replaces what is not UTF-8, and finds the bytes that a
//! format must quote or escape.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{CHUNK, EncodeBuffer};

/// An encoding of bytes as ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Base64 (RFC 4648, section 4), with padding.
    Base64,
    /// Two lower-case hexadecimal digits a byte.
    Hex,
    /// `\x` and two lower-case hexadecimal digits a byte (PostgreSQL manual,
    /// "bytea Hex Format").
    Postgres,
}

impl Encoding {
    /// Appends `bytes`, encoded; a long value is encoded in pieces.
    pub(super) fn write(self, bytes: &[u8], out: &mut EncodeBuffer<'_>) {
        // A multiple of three, so that base64 has padding only at the end.
        const PIECE: usize = CHUNK / 4 * 3;
        out.bytes.extend_from_slice(self.prefix());
        for piece in bytes.chunks(PIECE) {
            self.append_piece(piece, out.bytes);
            out.spill_if_large();
        }
    }

    /// Returns whether the encoded form of `bytes` begins with `+`.
    pub(super) fn begins_with_plus(self, bytes: &[u8]) -> bool {
        // The first six bits of base64's 62nd character.
        self == Self::Base64 && bytes.first().is_some_and(|byte| byte >> 2 == 62)
    }

    /// The characters before the encoded bytes.
    pub(super) const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Base64 | Self::Hex => b"",
            Self::Postgres => b"\\x",
        }
    }

    /// Appends `bytes`, encoded in one piece; for short values.
    pub(super) fn append(self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix());
        self.append_piece(bytes, out);
    }

    fn append_piece(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Base64 => write_base64(bytes, out),
            Self::Hex | Self::Postgres => write_hex(bytes, out),
        }
    }
}

/// Appends two lower-case hexadecimal digits for each byte.
pub(super) fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS[usize::from(nibble)];
    let digits = |byte: &u8| [digit(byte >> 4), digit(byte & 15)];
    out.extend(bytes.iter().flat_map(digits));
}

/// Appends `bytes` in base64 with padding.
fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The buffer has the exact size, so encoding cannot fail.
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

/// Passes `bytes` to `write` as pieces of text, with U+FFFD for each part that is
/// not UTF-8.
pub(super) fn write_lossy(bytes: &[u8], mut write: impl FnMut(&str)) {
    for chunk in bytes.utf8_chunks() {
        write(chunk.valid());
        if !chunk.invalid().is_empty() {
            write("\u{FFFD}");
        }
    }
}

/// Returns the index of the first byte of `bytes` for which `is_special` returns
/// true. It tests blocks of 16 bytes: if `is_special` compares without branches,
/// the compiler turns the test of a block into vector instructions.
#[inline]
pub(super) fn find(bytes: &[u8], is_special: impl Fn(u8) -> bool) -> Option<usize> {
    let mut clean = 0;
    for block in bytes.as_chunks::<16>().0 {
        if block
            .iter()
            .fold(false, |any, byte| any | is_special(*byte))
        {
            break;
        }
        clean += block.len();
    }
    let mut rest = bytes[clean..].iter();
    let index = rest.position(|byte| is_special(*byte))?;
    Some(clean + index)
}
