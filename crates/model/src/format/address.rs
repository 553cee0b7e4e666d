//! Where each object rests in a store: the only place that knows the paths.
//!
//! ```text
//! v1/packs/3f/3f…            pack, by its id
//! v1/leaves/a0/a0…           the new leaves of one save
//! v1/maps/…                  root of a map
//! v1/hot/…                   hot list
//! v1/images/<project>/<time>-<id>  what a project's machines remember of images
//! v1/recipes/5c/5c…          the new recipe parts of one archive
//! v1/marks/<document id>/<scope>/<time>-<fault>-<machine>.json  a mark of a document
//! v1/retired/snapshots/…     a document that was removed: what it names stays for some time
//! v1/sweeps/<time>-<id>      objects that a collection is about to remove; with .done: that it has
//! v1/snapshots/<project>/<compatibility>/<scope>/<job>/<time>-<id>.json
//! v1/archives/<project>/<compatibility>/<scope>/<job>/<time>-<id>.json
//! v1/…/<job>/newest.json     a copy of the document that its lineage got last
//! ```
//!
//! The version stands first: a new version of the format is a new tree beside the old one, never a
//! migration. In `<time>` the newest document sorts first, so that the first name of a listing is
//! the head of a lineage.

use std::fmt::{Display, Write as _};
use std::str::FromStr;

use crate::digest::{BlockId, GarbageId, HotListId, ImagesId, LeavesId, MapId, PackId, RecipesId};
use crate::format::clock::AHEAD_MAX_MS;
use crate::format::limits::NAME_MAX_BYTES;
use crate::format::lists::garbage::Brief;
use crate::hex;
use crate::lineage::Lineage;

/// Version of the whole tree.
pub const FORMAT: &str = "v1";

const DONE: &str = ".done";
/// Behind the names of all documents of its lineage.
const NEWEST: &str = "newest.json";

/// The path of a pack.
pub fn pack(id: PackId) -> String {
    let id = id.to_string();
    format!("{FORMAT}/packs/{}/{id}", &id[..2])
}

/// The path of an object of leaves.
pub fn leaves(id: LeavesId) -> String {
    let id = id.to_string();
    format!("{FORMAT}/leaves/{}/{id}", &id[..2])
}

/// The path of the root of a map.
pub fn map(id: MapId) -> String {
    format!("{FORMAT}/maps/{id}")
}

/// The path of a hot list.
pub fn hot(id: HotListId) -> String {
    format!("{FORMAT}/hot/{id}")
}

/// The path of an object of recipe parts.
pub fn recipes(id: RecipesId) -> String {
    let id = id.to_string();
    format!("{FORMAT}/recipes/{}/{id}", &id[..2])
}

/// The folder of all lists of images.
pub fn all_images() -> String {
    format!("{FORMAT}/images")
}

/// The folder of what a project's machines remember of images.
pub fn images(project: &str) -> String {
    format!("{}/{}", all_images(), segment(project))
}

/// The path of what a project's machines remember of images since `created_ms`.
pub fn images_object(project: &str, created_ms: u64, id: ImagesId) -> String {
    format!("{}/{}", images(project), timed(created_ms, id))
}

/// Reads the id in the last part of such a path.
pub fn parse_images(file_name: &str) -> Option<ImagesId> {
    parse_timed(file_name).map(|(_, id)| id)
}

/// The folder of all marks.
pub fn all_marks() -> String {
    format!("{FORMAT}/marks")
}

/// The folder of the marks of a document that jobs of a scope have made.
pub fn marks(document: impl Display, scope: &str) -> String {
    format!("{}/{document}/{}", all_marks(), segment(scope))
}

/// The folders of objects that are named by their content alone, and found through documents.
pub const CONTENT: [&str; 5] = ["packs", "leaves", "maps", "hot", "recipes"];

/// The folders that this version knows beside them.
pub const OTHERS: [&str; 6] = [
    "snapshots",
    "archives",
    "images",
    "marks",
    "retired",
    "sweeps",
];

/// What an object's name says of its content; nothing if the path is not one of those.
pub fn parse_content(path: &str) -> Option<Brief> {
    let (folder, name) = path
        .strip_prefix(FORMAT)?
        .strip_prefix('/')?
        .split_once('/')?;
    let digits = match folder {
        "maps" | "hot" => name,
        "packs" | "leaves" | "recipes" => {
            let (first, digits) = name.split_once('/')?;
            digits.starts_with(first).then_some(digits)?
        }
        _ => return None,
    };
    hex::decode(digits).as_ref().map(Brief::of)
}

/// Where a document goes when it is removed: no job finds it there.
pub fn retired(document: &str) -> String {
    let path = document.strip_prefix(FORMAT).unwrap_or(document);
    format!("{FORMAT}/retired{path}")
}

/// Where a document was before it was removed.
pub fn before_retired(path: &str) -> Option<String> {
    let path = path.strip_prefix(FORMAT)?.strip_prefix("/retired")?;
    Some(format!("{FORMAT}{path}"))
}

/// The folder of lists of what is being removed.
pub fn sweeps() -> String {
    format!("{FORMAT}/sweeps")
}

/// A list of what is being removed.
pub fn sweep(created_ms: u64, id: GarbageId) -> String {
    format!("{}/{}", sweeps(), timed(created_ms, id))
}

/// Says that a sweep is over.
pub fn done(sweep: &str) -> String {
    format!("{sweep}{DONE}")
}

/// Whether this says that a sweep is over, and is none itself.
pub fn is_done(path: &str) -> bool {
    path.strip_suffix(DONE).is_some()
}

/// Where a document is, as its path says it. The names are as they stand in paths, see [`segment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Which of the trees it is in.
    pub kind: Kind,
    /// The folder of its lineage.
    pub lineage: &'a str,
    /// Its project.
    pub project: &'a str,
    /// Its scope.
    pub scope: &'a str,
    /// Its job.
    pub job: &'a str,
    /// When it was made.
    pub created_ms: u64,
    /// Its id.
    pub id: &'a str,
}

impl<'a> Place<'a> {
    /// Reads the path of a document.
    pub fn parse(path: &'a str) -> Option<Self> {
        let (lineage, name) = path.rsplit_once('/')?;
        let parts: Vec<&str> = lineage.split('/').collect();
        let [FORMAT, kind, project, _compatibility, scope, job] = parts[..] else {
            return None;
        };
        let (created_ms, _id) = parse_document::<BlockId>(name)?;
        let (_, id) = name.strip_suffix(".json")?.split_once('-')?;
        Some(Self {
            kind: Kind::ALL.into_iter().find(|one| one.folder() == kind)?,
            lineage,
            project,
            scope,
            job,
            created_ms,
            id,
        })
    }

    /// Whether the scope is of a kind that ends: a pull request, a tag, a commit or an event.
    pub fn is_brief(&self) -> bool {
        let kinds = ["pull/", "tag/", "commit/", "event/"];
        kinds
            .iter()
            .any(|kind| self.scope.starts_with(&segment(kind)))
    }

    /// Whether the scope was named by hand, so that nobody can tell whether it is still there.
    pub fn is_by_hand(&self) -> bool {
        !self.is_brief() && !self.scope.starts_with(&segment("branch/"))
    }
}

/// The documents that jobs find by lineage, each kind in a tree of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Saved volumes.
    Snapshot,
    /// Saved images.
    Archive,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Snapshot, Self::Archive];

    fn folder(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshots",
            Self::Archive => "archives",
        }
    }
}

/// The folder of all documents of a kind.
pub fn folder(kind: Kind) -> String {
    format!("{FORMAT}/{}", kind.folder())
}

/// The folder that holds a folder for each compatibility of a project.
pub fn project(kind: Kind, project: &str) -> String {
    format!("{}/{}", folder(kind), segment(project))
}

/// The folder of one lineage's documents.
pub fn lineage(kind: Kind, lineage: &Lineage) -> String {
    format!("{}/{}", scope(kind, lineage), segment(&lineage.job))
}

/// The folder that holds a folder for each job in a lineage's scope.
pub fn scope(kind: Kind, lineage: &Lineage) -> String {
    format!(
        "{}/{}/{}",
        project(kind, &lineage.project),
        segment(&lineage.compatibility),
        segment(&lineage.scope)
    )
}

/// The path of a document that was made at `created_ms` (Unix time in milliseconds).
pub fn document(kind: Kind, of: &Lineage, created_ms: u64, id: impl Display) -> String {
    format!("{}/{}.json", lineage(kind, of), timed(created_ms, id))
}

/// The path of a copy of the newest document of a lineage.
pub fn newest(kind: Kind, of: &Lineage) -> String {
    format!("{}/{NEWEST}", lineage(kind, of))
}

/// The folder of a lineage, if this is the path of such a copy.
pub fn lineage_of_newest(path: &str) -> Option<&str> {
    path.strip_suffix(NEWEST)?.strip_suffix('/')
}

/// A name that sorts after those of all objects that are ahead of their time at `now_ms` (see
/// [`crate::clock`]), and before those of all others.
pub fn ahead(now_ms: u64) -> String {
    time(now_ms.saturating_add(AHEAD_MAX_MS))
}

/// Reads the last part of a document's path: when it was made, and its id.
pub fn parse_document<Id: FromStr>(file_name: &str) -> Option<(u64, Id)> {
    parse_timed(file_name.strip_suffix(".json")?)
}

/// A name that sorts before all that are older.
pub(crate) fn timed(created_ms: u64, id: impl Display) -> String {
    format!("{}-{id}", time(created_ms))
}

fn time(created_ms: u64) -> String {
    format!("{:016x}", u64::MAX - created_ms)
}

fn parse_timed<Id: FromStr>(name: &str) -> Option<(u64, Id)> {
    let (time, id) = name.split_once('-')?;
    Some((parse_time(time)?, id.parse().ok()?))
}

pub(crate) fn parse_time(time: &str) -> Option<u64> {
    let canonical =
        time.len() == 16 && !time.contains(|c: char| !matches!(c, '0'..='9' | 'a'..='f'));
    let time = u64::from_str_radix(time, 16).ok().filter(|_| canonical)?;
    Some(u64::MAX - time)
}

/// A name as one segment of a path: letters, digits, `.`, `-` and `_` stand for themselves, every
/// other byte is `=` and two hexadecimal digits; a name of dots only is escaped too. A long name is
/// cut and ends in `=` and the first 16 digits of its digest.
pub fn segment(name: &str) -> String {
    let dots_only = name.bytes().all(|byte| byte == b'.');
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'.' if !dots_only => out.push('.'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            _ => write!(out, "={byte:02x}").expect("writing to a string"),
        }
    }
    if name.is_empty() {
        out.push('=');
    }
    if out.len() > NAME_MAX_BYTES {
        out.truncate(NAME_MAX_BYTES - 17);
        let digest = BlockId::of(name.as_bytes()).to_string();
        out = format!("{out}={}", &digest[..16]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::SnapshotId;
    use proptest::prelude::*;

    fn of(scope: &str) -> Lineage {
        Lineage {
            project: "github.com/shop/web".into(),
            compatibility: "linux-amd64-overlay2-docker26".into(),
            scope: scope.into(),
            job: "build".into(),
        }
    }

    #[test]
    fn the_newest_snapshot_sorts_first_and_reads_back() {
        let id = SnapshotId::of(b"x");
        let old = document(Kind::Snapshot, &of("main"), 1_000, id);
        let new = document(Kind::Snapshot, &of("main"), 1_001, id);
        assert!(new < old);
        assert!(new.starts_with(
            "v1/snapshots/github.com=2fshop=2fweb/linux-amd64-overlay2-docker26/main/build/"
        ));
        let (_, name) = new.rsplit_once('/').expect("a path");
        assert_eq!(parse_document(name), Some((1_001, id)));
        assert_eq!(parse_document::<SnapshotId>("x-y.json"), None);
    }

    #[test]
    fn a_path_says_whose_document_it_is() {
        let id = SnapshotId::of(b"x");
        let path = document(Kind::Archive, &of("pull/7"), 1_001, id);
        let place = Place::parse(&path).expect("a document");
        assert_eq!((place.kind, place.created_ms), (Kind::Archive, 1_001));
        assert_eq!(
            (place.project, place.job),
            (&*segment("github.com/shop/web"), "build")
        );
        assert_eq!(place.lineage, lineage(Kind::Archive, &of("pull/7")));
        assert_eq!(
            (place.scope, place.id),
            (&*segment("pull/7"), &*id.to_string())
        );
        for (scope, brief, by_hand) in [
            ("pull/7", true, false),
            ("commit/3f", true, false),
            ("branch/main", false, false),
            ("branch/pull/7", false, false),
            ("main", false, true),
        ] {
            let path = document(Kind::Snapshot, &of(scope), 1, id);
            let place = Place::parse(&path).expect("a document");
            assert_eq!(
                (place.is_brief(), place.is_by_hand()),
                (brief, by_hand),
                "{scope}"
            );
        }
        let gone = retired(&path);
        assert_eq!(gone, path.replace("v1/", "v1/retired/"));
        assert_eq!(before_retired(&gone), Some(path.clone()));
        assert_eq!((before_retired(&path), Place::parse(&gone)), (None, None));
        for other in [
            "",
            "v1/snapshots/a/b/c/d/e.json",
            &path[1..],
            &path[..path.len() - 5],
        ] {
            assert_eq!(Place::parse(other), None, "{other}");
        }
    }

    #[test]
    fn content_is_told_by_its_path() {
        let own = pack(PackId::of(b"x"));
        let brief = Brief::of(PackId::of(b"x").as_bytes());
        assert_eq!(parse_content(&own), Some(brief));
        assert_eq!(parse_content(&map(MapId::of(b"x"))), Some(brief));
        let (folder, digits) = own.rsplit_once('/').expect("a path");
        for other in [
            &*format!("v1/packs/xx/{digits}"),
            &*format!("{folder}/{digits}#1"),
            &*format!("v1/packs/{digits}"),
            &*format!("v2/maps/{digits}"),
            &*format!("v1/marks/{digits}"),
        ] {
            assert_eq!(parse_content(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_ahead_of_its_time_sorts_before_all_others() {
        let id = ImagesId::of(b"x");
        let now = 1_790_000_000_000;
        let ahead = ahead(now);
        assert!(timed(now + AHEAD_MAX_MS, id) > ahead);
        assert!(timed(now + AHEAD_MAX_MS + 1, id) < ahead);
    }

    #[test]
    fn remembered_images_have_a_folder_for_each_project() {
        let id = ImagesId::of(b"x");
        let path = images_object("shop/web", 1_000, id);
        let (folder, name) = path.rsplit_once('/').expect("a path");
        assert_eq!(folder, "v1/images/shop=2fweb");
        assert_eq!(folder, images("shop/web"));
        assert_eq!(parse_images(name), Some(id));
        assert_eq!(parse_images(&format!("{name}.json")), None);
    }

    #[test]
    fn no_name_leaves_its_segment() {
        for name in ["..", ".", "", "a/../b", "ä", "a b\n", &"x".repeat(500)] {
            let segment = segment(name);
            assert!(
                !segment.is_empty() && segment.len() <= NAME_MAX_BYTES,
                "{segment}"
            );
            assert!(
                !segment.contains('/') && !segment.trim_matches('.').is_empty(),
                "{segment}"
            );
        }
    }

    proptest! {
        #[test]
        fn two_names_never_share_a_segment(a in ".{0,60}", b in ".{0,60}") {
            prop_assert_eq!(a == b, segment(&a) == segment(&b));
        }
    }
}
