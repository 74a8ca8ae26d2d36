//! Makes frames of blocks, and reads them back.

use std::io::{self, BufRead, Read};

use crate::format::{Codec, Compression};

/// Makes frames of one codec.
pub(super) enum Encoder {
    #[cfg(feature = "gzip")]
    Gzip(flate2::Compression),
    #[cfg(feature = "zstd")]
    Zstd(zstd::bulk::Compressor<'static>),
    #[cfg(feature = "lz4")]
    Lz4,
}

impl Encoder {
    /// Creates an encoder.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] for a codec that is not built in; that of the
    /// codec.
    pub(super) fn new(compression: Compression) -> io::Result<Self> {
        match compression.codec {
            #[cfg(feature = "gzip")]
            Codec::Gzip => {
                let level = u32::try_from(compression.level).unwrap_or_default();
                Ok(Self::Gzip(flate2::Compression::new(level)))
            }
            #[cfg(feature = "zstd")]
            Codec::Zstd => {
                let mut encoder = zstd::bulk::Compressor::new(compression.level)?;
                encoder.include_checksum(true)?;
                Ok(Self::Zstd(encoder))
            }
            #[cfg(feature = "lz4")]
            Codec::Lz4 => Ok(Self::Lz4),
            #[cfg(not(all(feature = "gzip", feature = "zstd", feature = "lz4")))]
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Returns `block` as a frame.
    ///
    /// # Errors
    /// That of the codec.
    pub(super) fn frame(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip(level) => {
                use std::io::Write;

                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), *level);
                encoder.write_all(block)?;
                encoder.finish()
            }
            #[cfg(feature = "zstd")]
            Self::Zstd(encoder) => encoder.compress(block),
            #[cfg(feature = "lz4")]
            Self::Lz4 => {
                use std::io::Write;

                use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};

                // All frames begin alike, whatever their length.
                let header = FrameInfo::new()
                    .block_size(BlockSize::Max1MB)
                    .content_checksum(true);
                let mut encoder = FrameEncoder::with_frame_info(header, Vec::new());
                encoder.write_all(block)?;
                Ok(encoder.finish()?)
            }
            #[cfg(not(any(feature = "gzip", feature = "zstd", feature = "lz4")))]
            _ => {
                let _ = block;
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }
}

/// The number of bytes that all frames of `codec` begin with: gzip's header without a
/// name and a time, zstd's magic number, or LZ4's header without a size.
pub(super) const fn common_length(codec: Codec) -> usize {
    match codec {
        Codec::Gzip => 10,
        Codec::Zstd => 4,
        Codec::Lz4 => 7,
    }
}

/// Returns a reader of the plain bytes of all frames in `stored`.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] for a codec that is not built in; that of the codec.
pub fn decoder<'a>(codec: Codec, stored: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    match codec {
        #[cfg(feature = "gzip")]
        Codec::Gzip => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(stored))),
        #[cfg(feature = "zstd")]
        Codec::Zstd => Ok(Box::new(zstd::stream::read::Decoder::with_buffer(stored)?)),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => Ok(Box::new(Lz4Frames(lz4_flex::frame::FrameDecoder::new(
            stored,
        )))),
        #[cfg(not(all(feature = "gzip", feature = "zstd", feature = "lz4")))]
        _ => {
            let _ = stored;
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

/// Reads all frames of LZ4: the crate's reader ends with each.
#[cfg(feature = "lz4")]
struct Lz4Frames<R: BufRead>(lz4_flex::frame::FrameDecoder<R>);

#[cfg(feature = "lz4")]
impl<R: BufRead> Read for Lz4Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.0.read(buffer)?;
            if length > 0 || buffer.is_empty() || self.0.get_mut().fill_buf()?.is_empty() {
                return Ok(length);
            }
        }
    }
}
