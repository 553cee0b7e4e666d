//! Which store is used, how, and what is in front of it: `--store`, `--single`, `--near`, and the variables of the
//! clouds.

use larder_store::{Access, Location, NearPlace, NearTier};

use super::{Choices, size};
use crate::args::Where;
use crate::exit::{Done, Failure};

/// What a near tier holds if nobody says it.
const NEAR_BYTES: u64 = 10 << 30;
/// What a variable of a cloud begins with that counts for the near tier alone.
pub(super) const NEAR: &str = "LARDER_NEAR_";

impl Choices {
    pub(super) fn access(&self, which: &Where, chosen: Option<String>) -> Done<Access> {
        let location = self.store(chosen)?;
        let is_single = self.flag(which.single, "LARDER_SINGLE", self.file.single)?;
        if is_single && location.as_folder().is_none() {
            return Err(Failure::input(format!(
                "--single is for a store that is a directory, and {location} is none"
            )));
        }
        let (near, keys) = (self.near(which, &location)?, self.keys(which)?);
        if keys.encrypt.is_some() {
            in_the_clear(&location, near.as_ref())?;
        }
        let access = Access::new(location, self.cloud_settings(), keys).behind(near);
        Ok(if is_single { access.single() } else { access })
    }

    fn store(&self, chosen: Option<String>) -> Done<Location> {
        match chosen {
            Some(place) => self.place(&place),
            None => Ok(Location::folder(&self.cache_folder().join("larder"))),
        }
    }

    fn place(&self, place: &str) -> Done<Location> {
        match place {
            url if url.contains("://") => Ok(Location::parse(url)?),
            path => Ok(Location::folder(&self.absolute(path))),
        }
    }

    fn near(&self, which: &Where, store: &Location) -> Done<Option<NearTier>> {
        let Some(place) = self.text(&which.near, "LARDER_NEAR", &self.file.near) else {
            return Ok(None);
        };
        let typed = &which.near_size;
        let max_bytes = self.text(typed, "LARDER_NEAR_SIZE", &self.file.near_size);
        let max_bytes = max_bytes.map(|text| size::parse("--near-size", &text));
        let location = self.place(&place)?;
        if location == *store {
            return Err(Failure::input(format!(
                "--near {location} is the store itself; name what is nearer"
            )));
        }
        let place = match location.as_folder() {
            Some(folder) => NearPlace::Folder(self.own(folder)),
            None => NearPlace::Store(location, self.near_settings()),
        };
        let max_bytes = max_bytes.transpose()?.unwrap_or(NEAR_BYTES);
        Ok(Some(NearTier { place, max_bytes }))
    }

    /// The variables that the clouds' own tools read, and what passes by the proxies.
    fn cloud_settings(&self) -> Vec<(String, String)> {
        let all = self.environment.iter();
        let of_cloud = all.filter(|(name, _)| is_of_cloud(name));
        let [_, _, none] = self.proxies();
        let none = none.map(|list| ("NO_PROXY".to_owned(), list));
        of_cloud
            .map(|(name, value)| (name.clone(), value.clone()))
            .chain(none)
            .collect()
    }

    /// The same for the near tier, which may be another cloud's, or need other credentials.
    fn near_settings(&self) -> larder_store::Settings {
        let own = self.environment.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix(NEAR)?;
            is_of_cloud(name).then(|| (name.to_owned(), value.clone()))
        });
        let own: Vec<(String, String)> = own.collect();
        let mut settings = self.cloud_settings();
        settings.retain(|(name, _)| own.iter().all(|(other, _)| other != name));
        settings.extend(own);
        larder_store::Settings(settings)
    }
}

/// Refuses a key to encrypt with where something would be stored as it is: in a near tier that is another store, and in
/// GitHub's cache, which is asked for content by its name.
fn in_the_clear(store: &Location, near: Option<&NearTier>) -> Done<()> {
    let place = match near.map(|near| &near.place) {
        Some(NearPlace::Store(near, _)) => {
            format!("--near {near} would hold what is read as it is")
        }
        _ if !store.can_be_listed() => format!("{store} cannot hold sealed objects"),
        _ => return Ok(()),
    };
    Err(Failure::input(format!(
        "--encrypt-key: {place}; leave out one of both"
    )))
}

/// Whether a cloud's own tools read a variable: those of GitHub's cache are two.
pub(super) fn is_of_cloud(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
    const NAMES: [&str; 2] = ["ACTIONS_RESULTS_URL", "ACTIONS_RUNTIME_TOKEN"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a variable of a cloud holds a credential, and not a region or an address.
pub(super) fn is_credential(name: &str) -> bool {
    const WORDS: [&str; 6] = ["KEY", "SECRET", "TOKEN", "PASSWORD", "CREDENTIAL", "SAS"];
    let name = name.strip_prefix(NEAR).unwrap_or(name);
    is_of_cloud(name) && WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use larder_local::own::OwnFolder;

    use super::*;

    fn location(url: &str) -> Location {
        Location::parse(url).expect("a store")
    }

    #[test]
    fn nothing_of_a_sealed_store_rests_elsewhere_in_the_clear() {
        let sealed = location("s3://ci/larder");
        assert!(in_the_clear(&sealed, None).is_ok());
        assert!(in_the_clear(&location("gha://"), None).is_err());
        let elsewhere = NearPlace::Store(
            location("s3://rack/larder"),
            larder_store::Settings(Vec::new()),
        );
        for (place, is_refused) in [
            (elsewhere, true),
            (
                NearPlace::Folder(OwnFolder::new("/near".into(), None)),
                false,
            ),
        ] {
            let near = NearTier {
                place,
                max_bytes: 1,
            };
            assert_eq!(in_the_clear(&sealed, Some(&near)).is_err(), is_refused);
        }
    }
}
