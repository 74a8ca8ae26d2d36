//! The codecs of compressed files: their names, levels and extensions.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A codec of compressed files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// gzip (RFC 1952), one member for each block.
    Gzip,
    /// Zstandard (RFC 8878), one frame for each block, with a seek table.
    Zstd,
    /// LZ4, one frame for each block.
    Lz4,
}

impl Codec {
    /// All codecs.
    pub const ALL: [Self; 3] = [Self::Gzip, Self::Zstd, Self::Lz4];

    /// The name, as in `--compression` and manifests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        }
    }

    /// The extensions of its files, in lower case and without the dot.
    #[must_use]
    pub const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Gzip => &["gz", "gzip"],
            Self::Zstd => &["zst", "zstd"],
            Self::Lz4 => &["lz4"],
        }
    }

    /// Returns the codec of a file's extension without its dot, if there is one. Upper
    /// and lower case are the same.
    ///
    /// ```
    /// use gold_digger::format::Codec;
    /// assert_eq!(Codec::by_extension("GZ"), Some(Codec::Gzip));
    /// ```
    #[must_use]
    pub fn by_extension(extension: &str) -> Option<Self> {
        let is_its = |name: &&str| name.eq_ignore_ascii_case(extension);
        let mut all = Self::ALL.into_iter();
        all.find(|codec| codec.extensions().iter().any(is_its))
    }

    /// The least and the greatest level, and the one if none is named: for zstd that of
    /// zstd(1); for gzip the one below that of gzip(1), which takes a third less time for
    /// files that are 0.5 % larger (orders and narrow of the benchmark, by zlib-rs). The
    /// crate for LZ4 has one.
    const fn levels(self) -> (i32, i32, i32) {
        match self {
            Self::Gzip => (1, 9, 5),
            Self::Zstd => (1, 19, 3),
            Self::Lz4 => (1, 1, 1),
        }
    }

    /// Returns the codec with its usual level.
    #[must_use]
    pub const fn compression(self) -> Compression {
        let (_, _, level) = self.levels();
        Compression { codec: self, level }
    }

    const fn is_built_in(self) -> bool {
        match self {
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Zstd => cfg!(feature = "zstd"),
            Self::Lz4 => cfg!(feature = "lz4"),
        }
    }
}

/// A codec and its level.
///
/// ```
/// use gold_digger::format::{Codec, Compression};
///
/// let compression: Compression = "zstd:9".parse()?;
/// assert_eq!(compression.to_string(), "zstd:9");
/// assert_eq!("gzip".parse(), Ok(Codec::Gzip.compression()));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compression {
    /// The codec.
    pub codec: Codec,
    /// How much time it takes for a smaller file: 1 to 9 for gzip, 1 to 19 for zstd, 1
    /// for LZ4.
    pub level: i32,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.codec.name(), self.level)
    }
}

/// Parses `CODEC` or `CODEC:LEVEL`.
impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        let codec = Codec::ALL.into_iter().find(|codec| codec.name() == name);
        let codec = codec.ok_or("it is gzip, zstd, lz4, gzip:LEVEL, zstd:LEVEL or none")?;
        if !codec.is_built_in() {
            return Err(format!("this program was built without {name}"));
        }
        let (least, greatest, _) = codec.levels();
        let level = match level {
            None => return Ok(codec.compression()),
            Some(level) => level.parse().ok(),
        };
        let level = level.filter(|level| (least..=greatest).contains(level));
        let level =
            level.ok_or_else(|| format!("a level of {name} is from {least} to {greatest}"))?;
        Ok(Self { codec, level })
    }
}
