//! The documents of a store, as a listing shows them.

use std::collections::HashMap;

use futures_util::{StreamExt as _, TryStreamExt as _};
use larder_model::address::{self, Kind, Place, segment};
use larder_model::garbage::Brief;
use larder_model::lineage::Scope;
use larder_model::{clock, hex};
use larder_store::{Entry, Objects, StoreError};
use serde::{Serialize, Serializer};

/// Documents that are copied at once.
const COPIES: usize = 16;
/// Most bytes of a document.
pub(crate) const DOCUMENT_MAX_BYTES: usize = 16 * 1024 * 1024;
/// The shortest beginning of an id that names a document.
pub(crate) const ID_MIN_CHARS: usize = 6;

/// A document, by its path alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    entry: Entry,
    /// Where it was before it was removed, if it was.
    before: Option<String>,
}

impl Listed {
    /// What its path says.
    pub fn place(&self) -> Place<'_> {
        let path = self.before.as_ref().unwrap_or(&self.entry.path);
        Place::parse(path).expect("nothing else is listed")
    }

    /// The beginning of its id.
    pub(crate) fn brief(&self) -> Brief {
        let id = hex::decode(self.place().id);
        Brief::of(&id.expect("a path of a document has an id"))
    }

    /// Whether it was removed, and only holds back what it names.
    pub(crate) fn is_retired(&self) -> bool {
        self.before.is_some()
    }

    /// Its path.
    pub fn path(&self) -> &str {
        &self.entry.path
    }

    /// When the store got it, by the store's clock.
    pub fn modified_ms(&self) -> u64 {
        self.entry.modified_ms
    }

    /// What people call it: the beginning of its id, its job and its scope, as far as a path says that.
    pub fn name(&self) -> String {
        let place = self.place();
        let (job, scope) = (readable(place.job), readable(place.scope));
        format!("{:.12} ({job} @ {scope})", place.id)
    }
}

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.path())
    }
}

/// A segment of a path as people wrote it. One that was cut keeps its end.
pub(crate) fn readable(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment;
    while let Some((plain, after)) = rest.split_once('=') {
        bytes.extend_from_slice(plain.as_bytes());
        let byte = after
            .get(..2)
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        let Some(byte) = byte else {
            rest = after;
            continue;
        };
        bytes.push(byte);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A document, if it has the name of one.
pub(crate) fn listed(entry: Entry) -> Option<Listed> {
    let before = address::before_retired(&entry.path);
    Place::parse(before.as_ref().unwrap_or(&entry.path))?;
    Some(Listed { entry, before })
}

/// Takes documents from where jobs find them. What they name stays for as long as jobs may need it that have
/// read them: a copy says since when.
pub(crate) async fn retire(objects: &Objects, documents: &[&Listed]) -> Result<(), StoreError> {
    let paths: Vec<String> = documents.iter().map(|one| one.path().to_owned()).collect();
    let copies = paths.iter().cloned().map(|path| async move {
        match objects.get(&path, DOCUMENT_MAX_BYTES).await {
            Ok(bytes) => objects.put(&address::retired(&path), bytes).await,
            // It is gone, or was never read by a job.
            Err(error) if error.is_damage() => Ok(()),
            Err(error) => Err(error),
        }
    });
    let mut copies = futures_util::stream::iter(copies).buffer_unordered(COPIES);
    while copies.try_next().await?.is_some() {}
    objects.delete(&paths).await
}

/// All documents of a store. What has another name than a document is none, for jobs too.
pub async fn list(objects: &Objects) -> Result<Vec<Listed>, StoreError> {
    let [snapshots, archives] = Kind::ALL.map(address::folder);
    let listings = tokio::try_join!(objects.entries(&snapshots), objects.entries(&archives));
    let (snapshots, archives) = listings?;
    let entries = snapshots.into_iter().chain(archives);
    Ok(entries.filter_map(listed).collect())
}

/// The scopes that a name may mean.
pub fn scopes_meant_by(name: &str) -> Vec<String> {
    Scope::meant_by(name).iter().map(Scope::to_string).collect()
}

/// Which documents are meant.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Beginnings of ids. If there are any, nothing else counts but the project.
    pub ids: Vec<String>,
    /// Of this project; none for any.
    pub project: Option<String>,
    /// Of one of these scopes; none for any.
    pub scopes: Option<Vec<String>>,
    /// Of this job; none for any.
    pub job: Option<String>,
}

/// Why a selection is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSelected {
    /// No document begins like this.
    Unknown(String),
    /// Several do.
    Several(String),
}

impl std::fmt::Display for NotSelected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown(id) => write!(
                f,
                "{id:?} is the id of no document; `larder ls` shows them (at least {ID_MIN_CHARS} digits)"
            ),
            Self::Several(id) => write!(
                f,
                "several documents have ids that begin with {id:?}; write more of it"
            ),
        }
    }
}

impl Selection {
    /// Those of these documents that are meant.
    pub fn of<'a>(&self, documents: &'a [Listed]) -> Result<Vec<&'a Listed>, NotSelected> {
        let project = self.project.as_deref().map(segment);
        let ours = documents.iter().filter(|one| {
            let place = one.place();
            project
                .as_ref()
                .is_none_or(|project| place.project == project)
        });
        if !self.ids.is_empty() {
            let ours: Vec<_> = ours.collect();
            return self.ids.iter().map(|id| one_of(&ours, id)).collect();
        }
        let scopes = self.scopes.as_ref();
        let scopes = scopes.map(|scopes| {
            scopes
                .iter()
                .map(|scope| segment(scope))
                .collect::<Vec<_>>()
        });
        let job = self.job.as_deref().map(segment);
        let meant = ours.filter(|one| {
            let place = one.place();
            scopes
                .as_ref()
                .is_none_or(|scopes| scopes.iter().any(|scope| scope == place.scope))
                && job.as_ref().is_none_or(|job| place.job == job)
        });
        Ok(meant.collect())
    }

    /// The newest of each lineage that is meant; of ids, just those.
    pub fn newest<'a>(
        &self,
        documents: &'a [Listed],
        now_ms: u64,
    ) -> Result<Vec<&'a Listed>, NotSelected> {
        let meant = self.of(documents)?;
        if !self.ids.is_empty() {
            return Ok(meant);
        }
        let mut heads: HashMap<&str, &Listed> = HashMap::new();
        for one in meant {
            let head = heads.entry(one.place().lineage).or_insert(one);
            let [new, old] = [one, head].map(|one| one.place().created_ms);
            if clock::preference(new, now_ms) < clock::preference(old, now_ms) {
                *head = one;
            }
        }
        let mut heads: Vec<&Listed> = heads.into_values().collect();
        heads.sort_by_key(|one| one.path());
        Ok(heads)
    }
}

fn one_of<'a>(documents: &[&'a Listed], id: &str) -> Result<&'a Listed, NotSelected> {
    let mut found = documents
        .iter()
        .filter(|one| id.len() >= ID_MIN_CHARS && one.place().id.starts_with(id));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(NotSelected::Several(id.to_owned())),
        (None, _) => Err(NotSelected::Unknown(id.to_owned())),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use larder_model::digest::SnapshotId;
    use larder_model::lineage::Lineage;

    use super::*;

    pub(crate) fn listed(scope: &str, job: &str, created_ms: u64) -> Listed {
        let lineage = Lineage {
            project: "shop/web".into(),
            compatibility: "c".into(),
            scope: scope.into(),
            job: job.into(),
        };
        let id = SnapshotId::of(format!("{scope}{job}{created_ms}").as_bytes());
        let path = address::document(Kind::Snapshot, &lineage, created_ms, id);
        let entry = Entry {
            path,
            bytes: 1,
            modified_ms: created_ms,
        };
        listed_of(entry)
    }

    fn listed_of(entry: Entry) -> Listed {
        super::listed(entry).expect("a document")
    }

    #[test]
    fn documents_are_selected_by_id_scope_and_job() {
        let documents = [
            listed("main", "build", 1),
            listed("main", "build", 2),
            listed("main", "lint", 1),
            listed("pull/7", "build", 3),
        ];
        let count = |selection: &Selection| selection.of(&documents).map(|found| found.len());
        let all = Selection::default();
        assert_eq!(count(&all), Ok(4));
        let main = Selection {
            scopes: Some(vec!["main".into()]),
            project: Some("shop/web".into()),
            ..all.clone()
        };
        assert_eq!(count(&main), Ok(3));
        let newest = main.newest(&documents, 10).expect("heads");
        assert_eq!(newest, [&documents[1], &documents[2]]);
        let job = Selection {
            job: Some("build".into()),
            ..main
        };
        assert_eq!(count(&job), Ok(2));
        let elsewhere = Selection {
            project: Some("other".into()),
            ..all.clone()
        };
        assert_eq!(count(&elsewhere), Ok(0));
        let id = documents[3].place().id;
        let of_ids = |ids: &[&str]| Selection {
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            ..all.clone()
        };
        assert_eq!(of_ids(&[&id[..12]]).of(&documents), Ok(vec![&documents[3]]));
        for wrong in ["", &id[..5], "zzzzzz"] {
            assert!(of_ids(&[wrong]).of(&documents).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_is_read_back_for_people() {
        let one = listed("pull/7", "a b", 1);
        assert!(one.name().ends_with("(a b @ pull/7)"), "{}", one.name());
        assert_eq!(readable("="), "");
        assert_eq!(readable("x=zz"), "xzz");
    }
}
