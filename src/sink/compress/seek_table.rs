//! The table of frames at the end of a zstd file: readers that know it can begin at
//! any frame, and others pass over it (zstd, "Zstandard Seekable Format", version
//! 0.1.0).

/// The magic number of the skippable frame that holds the table.
const SKIPPABLE: u32 = 0x184D_2A5E;

/// The magic number at the end of the table.
const SEEKABLE: u32 = 0x8F92_EAB1;

/// The most frames of a table here, a tebibyte of rows; the format has room for 128
/// times as many, and memory is to stay flat.
pub(super) const MAX_FRAMES: usize = 1 << 20;

/// The number of bytes behind the entries.
const FOOTER: usize = 9;

/// Returns the table of frames with these compressed and plain lengths; `None` if
/// a frame is too long.
pub(super) fn of(lengths: &[(usize, usize)]) -> Option<Vec<u8>> {
    let size = u32::try_from(8 * lengths.len() + FOOTER).ok()?;
    let count = u32::try_from(lengths.len()).ok()?;
    let mut table = Vec::new();
    let mut put = |number: u32| table.extend_from_slice(&number.to_le_bytes());
    put(SKIPPABLE);
    put(size);
    for (compressed, plain) in lengths {
        put(u32::try_from(*compressed).ok()?);
        put(u32::try_from(*plain).ok()?);
    }
    put(count);
    // The descriptor: each frame has a checksum of its own, and the table none.
    table.push(0);
    table.extend_from_slice(&SEEKABLE.to_le_bytes());
    Some(table)
}
