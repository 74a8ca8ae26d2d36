//! Decodes text that a server sends in another character set than utf8mb4. A
//! session asks for utf8mb4, but a procedure can change that with `SET NAMES`, and
//! with `character_set_results = NULL` each column comes in its own character set.

use std::borrow::Cow;

use encoding_rs::{
    EUC_KR, Encoding, GBK, IBM866, ISO_8859_2, ISO_8859_7, ISO_8859_8, ISO_8859_13, KOI8_R, KOI8_U,
    MACINTOSH, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_874, WINDOWS_1250, WINDOWS_1251,
    WINDOWS_1252, WINDOWS_1254, WINDOWS_1256, WINDOWS_1257,
};
use mysql_common::collations::{Collation, CollationId};

/// The longest character of utf8mb4 in bytes.
const UTF8MB4_BYTES: u32 = 4;

/// A character set that text arrives in.
#[derive(Clone, Copy, Debug)]
pub(super) struct CharacterSet {
    /// The server's name of it.
    pub name: &'static str,
    /// Its longest character in bytes.
    pub max_bytes: u32,
}

/// A decoder of one character set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoder {
    /// The server's name of the character set.
    pub name: &'static str,
    encoding: &'static Encoding,
    /// The characters that the encoding decodes from other bytes than servers do.
    doubtful: &'static str,
}

/// The character sets that decode as servers decode them, and the characters for
/// which that is not so. Compared, for every sequence of one and two bytes, with
/// `CONVERT(… USING utf8mb4)` of MariaDB 10.11 and MySQL 9.7, and so tested.
///
/// Others differ in too many characters (big5, ujis, eucjpms, gb18030), or no
/// encoding has them (cp850, dec8, geostd8 …).
const DECODERS: &[(&str, &Encoding, &str)] = &[
    ("latin1", WINDOWS_1252, ""),
    ("latin2", ISO_8859_2, ""),
    ("latin5", WINDOWS_1254, "€‚ƒ„…†‡ˆ‰Š‹Œ‘’“”•–—˜™š›œŸ"),
    ("latin7", ISO_8859_13, ""),
    ("greek", ISO_8859_7, "‘’"),
    ("hebrew", ISO_8859_8, "¯"),
    ("tis620", WINDOWS_874, "€…‘’“”•–—\u{a0}"),
    ("koi8r", KOI8_R, ""),
    ("koi8u", KOI8_U, "∙ўЎ"),
    ("cp1250", WINDOWS_1250, ""),
    ("cp1251", WINDOWS_1251, ""),
    ("cp1256", WINDOWS_1256, ""),
    ("cp1257", WINDOWS_1257, ""),
    ("cp866", IBM866, "№¤"),
    ("macroman", MACINTOSH, ""),
    ("sjis", SHIFT_JIS, "＼～∥－￠￡￢"),
    ("cp932", SHIFT_JIS, ""),
    ("euckr", EUC_KR, ""),
    ("gb2312", GBK, "·—"),
    ("gbk", GBK, ""),
    ("utf8", UTF_8, ""),
    ("utf8mb3", UTF_8, ""),
    ("ucs2", UTF_16BE, ""),
    ("utf16", UTF_16BE, ""),
    ("utf16le", UTF_16LE, ""),
    ("ascii", UTF_8, ""),
];

impl CharacterSet {
    /// Returns the character set of the collation with the number `id`; `None` if it
    /// is not known.
    pub fn of_collation(id: u16) -> Option<Self> {
        let uca1400 = |index| match index {
            0 => ("utf8mb3", 3),
            1 => ("utf8mb4", UTF8MB4_BYTES),
            2 => ("ucs2", 2),
            3 => ("utf16", 4),
            _ => ("utf32", 4),
        };
        // MariaDB numbers a collation without padding 1,024 higher, and the
        // collations of UCA 14.0.0 from 2,048 on, 256 for each character set
        // (MariaDB, `my_uca.h`).
        let (name, max_bytes) = match id {
            2048..4096 => uca1400(id >> 8 & 7),
            _ => {
                let collation = Collation::resolve(CollationId::from(id % 1024));
                if collation.id == CollationId::UNKNOWN_COLLATION_ID {
                    return None;
                }
                (collation.charset, u32::from(collation.max_len))
            }
        };
        Some(Self { name, max_bytes })
    }
}

impl Decoder {
    /// Returns the decoder of the character set `name`; `None` if there is none.
    pub fn of(name: &str) -> Option<Self> {
        let mut decoders = DECODERS.iter();
        let &(name, encoding, doubtful) = decoders.find(|decoder| decoder.0 == name)?;
        Some(Self {
            name,
            encoding,
            doubtful,
        })
    }

    /// Returns the text of `bytes`; `None` if they are not text in the character set,
    /// or if servers may decode them otherwise.
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, str>> {
        if self.name == "ascii" && !bytes.is_ascii() {
            return None;
        }
        let text = self
            .encoding
            .decode_without_bom_handling_and_without_replacement(bytes)?;
        let is_certain = self.doubtful.is_empty() || !text.contains(|c| self.doubtful.contains(c));
        is_certain.then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collations_have_their_character_sets() {
        for (id, expected) in [
            (8, Some(("latin1", 1))),
            (33, Some(("utf8mb3", 3))),
            (45, Some(("utf8mb4", 4))),
            (255, Some(("utf8mb4", 4))),
            // MariaDB: utf8mb4_nopad_bin, utf8mb3_uca1400_ai_ci, utf8mb4_uca1400_ai_ci.
            (1070, Some(("utf8mb4", 4))),
            (2048, Some(("utf8mb3", 3))),
            (2304, Some(("utf8mb4", 4))),
            (0, None),
            (9000, None),
        ] {
            let found = CharacterSet::of_collation(id).map(|set| (set.name, set.max_bytes));
            assert_eq!(found, expected, "{id}");
        }
    }

    #[test]
    fn text_is_decoded_where_servers_agree() {
        for (name, bytes, expected) in [
            ("latin1", &b"\x80 \xfc \x81"[..], Some("€ ü \u{81}")),
            ("greek", b"\xe1", Some("α")),
            ("greek", b"\xa1", None),
            ("sjis", b"\x93\xfa", Some("日")),
            ("sjis", b"\x81\x60", None),
            ("ascii", b"a", Some("a")),
            ("ascii", "é".as_bytes(), None),
            ("utf16", b"\xd8\x3d\xde\x00", Some("😀")),
            ("utf16", b"\xd8\x3d", None),
            ("utf8mb3", b"\xc3", None),
        ] {
            let decoder = Decoder::of(name).expect(name);
            assert_eq!(
                decoder.decode(bytes).as_deref(),
                expected,
                "{name} {bytes:?}"
            );
        }
        assert!(Decoder::of("big5").is_none());
    }
}
