//! Sizes and bounds, each with its unit in its name and its reason beside it.
//!
//! The sizes of blocks, frames, packs and leaves are part of the format: changing one means a new
//! version in [`crate::address::FORMAT`]. Everything read from a store is untrusted, so each object
//! also has an upper bound that is checked before memory is reserved for it.

/// Size of a block: the unit of the map, of dedupe, and of what counts as changed.
///
/// Small enough that one changed file system page re-stores little, large enough that the map of
/// 2 GB stays near 1.2 MB.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// Size of a page: the unit in which a file system writes to the volume (its sector size), and so
/// the unit in which a block can be partly local.
pub const PAGE_BYTES: usize = 4096;

/// Pages in a block; a block's local pages are one bit each in a `u16`.
pub const PAGES_PER_BLOCK: usize = BLOCK_BYTES / PAGE_BYTES;

/// Most blocks in one frame, so at most 1 MiB of content. Compressing blocks one by one costs
/// 5-12 % of ratio and half the speed.
pub const FRAME_BLOCKS: usize = 16;

/// Most bytes of content in one frame.
pub const FRAME_CONTENT_BYTES: usize = FRAME_BLOCKS * BLOCK_BYTES;

/// Most bytes that a stored frame may have: incompressible content grows by less than 1 % in zstd
/// (`ZSTD_compressBound`).
pub const FRAME_STORED_MAX_BYTES: usize = FRAME_CONTENT_BYTES + FRAME_CONTENT_BYTES / 64;

/// A pack is closed once it holds this much. Few objects and few requests on one side; on the
/// other, uploads that overlap with compression, and a bounded memory while saving.
pub const PACK_BYTES: usize = 16 * 1024 * 1024;

/// Most bytes of a pack that is read as a whole (verification): one frame and its index may come
/// on top of [`PACK_BYTES`].
pub const PACK_MAX_BYTES: usize = PACK_BYTES + 2 * FRAME_STORED_MAX_BYTES;

/// Blocks that one leaf of the map covers (64 MiB of volume): a save rewrites 40 KB of map for
/// each 64 MiB region that it touched.
pub const LEAF_BLOCKS: usize = 1024;

/// Most bytes of one encoded leaf: every block in a frame and a pack of its own.
pub const LEAF_MAX_BYTES: usize = 96 * 1024;

/// Largest volume. ext4 itself allows more; the bound keeps the root of a map small.
pub const VOLUME_MAX_BYTES: u64 = 16 << 40;

/// Most bytes of an encoded map root: one entry of 48 bytes for each leaf of the largest volume,
/// and a segment for each.
pub const MAP_MAX_BYTES: usize = 24 * 1024 * 1024;

/// Most bytes of one object of leaves. A first save of the largest volume that is full would not
/// fit, so the writer splits.
pub const LEAVES_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Most bytes of a snapshot object, the plan in it included.
pub const SNAPSHOT_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Most blocks in a hot list: 16 GiB worth of first reads.
pub const HOT_LIST_MAX_BLOCKS: usize = 256 * 1024;

/// Most bytes of an encoded hot list.
pub const HOT_LIST_MAX_BYTES: usize = HOT_LIST_MAX_BLOCKS * 5 + 64;

/// Most images that a project's machines remember together: many times what one repository builds
/// from.
pub const IMAGES_MAX: usize = 256;

/// Most documents of one image: indexes on the way, manifest, configuration.
pub const IMAGE_DOCUMENTS_MAX: usize = 8;

/// Most bytes of an encoded list of images. A new machine reads it before it asks a registry; an
/// image has some 25 KB of documents.
pub const IMAGES_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Most bytes of a name (project, job, scope) before it is shortened to a digest in a path:
/// object stores allow 1024 bytes for the whole key.
pub const NAME_MAX_BYTES: usize = 120;
