//! Bounds of the registry client, each with its unit in its name and its reason beside it.
//!
//! Everything a registry sends is untrusted: each answer has an upper bound that is enforced while
//! it is read, whatever its `Content-Length` says.

use std::time::Duration;

/// Most bytes of a manifest or an index. The distribution specification obliges registries to take
/// 4 MiB ("Pushing Manifests"); containerd reads no more (`MaxManifestSize` in
/// `core/remotes/docker/resolver.go`).
pub(crate) const MANIFEST_MAX_BYTES: usize = 4 << 20;

/// Most bytes of an image configuration: twice what a manifest may have, since it also holds the
/// history, one entry for each instruction.
pub(crate) const CONFIG_MAX_BYTES: usize = 8 << 20;

/// Most bytes of a token server's answer; real ones stay under 16 KiB.
pub(crate) const TOKEN_ANSWER_MAX_BYTES: usize = 1 << 20;

/// Most bytes read of an error's body, to show what the registry said.
pub(crate) const ERROR_BODY_MAX_BYTES: usize = 64 << 10;

/// Most bytes of a credential helper's answer or of docker's `config.json`.
pub(crate) const CREDENTIALS_MAX_BYTES: usize = 4 << 20;

/// Most redirects followed for one request.
pub(crate) const REDIRECTS_MAX: usize = 5;

/// Most indexes entered on the way to a manifest. Two is the deepest seen in the wild; containerd
/// has no bound.
pub(crate) const INDEX_DEPTH_MAX: usize = 4;

/// Most authentication challenges answered for one request: one for a token that ran out, one for
/// the scope that the registry then asks for.
pub(crate) const CHALLENGES_MAX: usize = 2;

/// Most tries of one request at the registry itself. A mirror gets one: what stands behind it is
/// the better second try.
pub(crate) const TRIES_MAX: usize = 4;

/// The first pause between two tries; doubled each time, with jitter, up to [`PAUSE_MAX`].
pub(crate) const PAUSE_MIN: Duration = Duration::from_millis(200);

/// The longest pause that we choose ourselves; a `Retry-After` may ask for more.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(4);

/// How long a TCP and TLS connection may take to be made.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long a mirror may take to answer before the next host is asked.
pub(crate) const MIRROR_LIMIT: Duration = Duration::from_secs(5);

/// How long a credential helper may take. Some ask a cloud's metadata service first.
pub(crate) const HELPER_LIMIT: Duration = Duration::from_secs(10);

/// A token that names no life span lives this long (distribution, "Token Authentication
/// Specification": "defaults to 60 seconds").
pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(60);

/// A token is no longer used when it ends within this time, so that it does not end on the way.
pub(crate) const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// Most bytes that the memory keeps on disk: some ten thousand images.
pub(crate) const MEMORY_MAX_BYTES: u64 = 64 << 20;

/// Most files that the memory keeps on disk.
pub(crate) const MEMORY_MAX_FILES: usize = 20_000;
