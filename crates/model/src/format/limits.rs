//! Sizes and bounds, each with its unit in its name and its reason beside it.
//!
//! The sizes of blocks, frames, packs and leaves are part of the format: changing one means a new
//! version in [`crate::format::address::FORMAT`]. Everything read from a store is untrusted, so each object
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

/// Most blocks in one frame, so at most 1 MiB of content.
pub const FRAME_BLOCKS: usize = 16;
/// Blocks that a save puts in one frame. Compressing blocks one by one costs 5-12 % of ratio and half
/// the speed; large frames bring neighbours that nobody reads. Of the example application's build
/// after a change, with frames of 16, 8, 4, 2 blocks: 254, 229, 191, 166 MB in 670, 1100, 1860, 3030
/// requests; the build itself 2.4, 2.1, 2.2, 2.2 s; the whole store 431, 434, 433, 444 MB.
pub const FRAME_FILL_BLOCKS: usize = 8;

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
pub(crate) const VOLUME_MAX_BYTES: u64 = 16 << 40;

/// Most bytes of an encoded map root: one entry of 48 bytes for each leaf of the largest volume,
/// and a segment for each.
pub const MAP_MAX_BYTES: usize = 24 * 1024 * 1024;

/// Most bytes of one object of leaves. A first save of the largest volume that is full would not
/// fit, so the writer splits.
pub const LEAVES_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Most bytes of a snapshot object, the plan in it included.
pub(crate) const SNAPSHOT_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Most blocks in a hot list: 4 GiB worth of first reads.
pub const HOT_LIST_MAX_BLOCKS: usize = 64 * 1024;

/// Blocks whose bytes a hot list may hold itself: what mounting and the engine's start read, so that
/// it comes in the same request. Every save writes them anew, so they are few.
pub const HOT_LIST_HELD_BLOCKS: usize = 64;

/// Most bytes of an encoded hot list: each block in a frame and a pack of its own, and the frames that
/// it holds.
pub const HOT_LIST_MAX_BYTES: usize =
    HOT_LIST_MAX_BLOCKS * (5 + 32 + 16 + 32) + HOT_LIST_HELD_BLOCKS * FRAME_STORED_MAX_BYTES;

/// A chunk of an archived blob has at least this many bytes, unless its stream ends.
///
/// Chunks are cut by content, see [`crate::format::archive::chunk`].
pub const CHUNK_MIN_BYTES: usize = 16 * 1024;

/// What chunks have on average, about.
pub(crate) const CHUNK_TARGET_BYTES: usize = 64 * 1024;

/// Most bytes of a chunk: a quarter of a frame, so that frames of whole chunks are nearly full.
pub const CHUNK_MAX_BYTES: usize = 256 * 1024;

/// Most bytes of a blob that one part of its recipe rebuilds: bounds the memory of who writes and
/// who reads a blob of any size. Chunks end where a part does, which costs two chunks each.
pub const PART_BLOB_BYTES: u64 = 256 * 1024 * 1024;

/// Most runs of one part. A tar of empty folders and tiny files alone comes near it, and then the
/// part ends early.
pub const PART_RUNS_MAX: u32 = 256 * 1024;

/// Most bytes of an encoded part: a chunk for each `CHUNK_MIN_BYTES`, each in a frame and a pack of
/// its own, is 1.6 MiB; runs of 4 bytes each are another.
pub const PART_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Most bytes of a part as it is stored: zstd adds less than 1 % to what it cannot compress.
pub(crate) const PART_STORED_MAX_BYTES: usize = PART_MAX_BYTES + PART_MAX_BYTES / 64;

/// An object of recipe parts is closed once it holds this much.
pub const RECIPES_BYTES: usize = 8 * 1024 * 1024;

/// Most bytes of an archive's document, the plan and the small blobs in it included.
pub(crate) const ARCHIVE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Most blobs of an archive: engines refuse images of more than 127 layers, and an archive holds
/// the images of one job.
pub const ARCHIVE_BLOBS_MAX: usize = 16 * 1024;

/// Most bytes of a blob's name: longer than any path in what engines save.
pub const BLOB_NAME_MAX_BYTES: usize = 256;

/// Texts up to this size are in the archive's document itself: configurations and manifests, which
/// would otherwise cost two requests each.
pub const INLINE_MAX_BYTES: usize = 16 * 1024;

/// Most bytes of all inline blobs of an archive; what comes later has recipes.
pub const INLINE_TOTAL_MAX_BYTES: usize = 2 * 1024 * 1024;

/// Most images that a project's machines remember together: many times what one repository builds
/// from.
pub const IMAGES_MAX: usize = 256;

/// Most documents of one image: indexes on the way, manifest, configuration.
pub(crate) const IMAGE_DOCUMENTS_MAX: usize = 8;

/// Most bytes of an encoded list of images. A new machine reads it before it asks a registry; an
/// image has some 25 KB of documents.
pub const IMAGES_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Most bytes of a name (project, job, scope) before it is shortened to a digest in a path:
/// object stores allow 1024 bytes for the whole key.
pub const NAME_MAX_BYTES: usize = 120;

/// Most objects that one list of garbage names: 512 KiB, which whoever saves may have to read.
pub const GARBAGE_MAX: usize = 64 * 1024;
