//! An engine's build cache, record by record: listing, removing.

use hyper::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::handle::{Remote, encoded};
use crate::error::Result;

/// Records that are removed by one request: its target holds their ids, and engines read some tens of KiB.
const RECORDS_AT_ONCE: usize = 500;

/// A line of `docker builder du`, or of `docker system df -v`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRecord {
    /// A random text of letters and digits.
    pub id: String,
    /// The records that it stands on, which stay as long as it does.
    pub parents: Vec<String>,
    /// What it is: `pulled from docker.io/library/ruby:3.3`, `mount / from exec …`. May hold build arguments.
    pub description: String,
    /// Whether a build uses it now.
    pub in_use: bool,
    /// Whether an image holds its content too.
    pub shared: bool,
    /// What it takes.
    pub bytes: u64,
    /// When it was made or last used: Unix time in milliseconds.
    pub used_ms: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UsageAnswer {
    #[serde(default)]
    build_cache: Option<Vec<RecordAnswer>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordAnswer {
    #[serde(rename = "ID")]
    id: String,
    /// Up to API 1.41.
    #[serde(default)]
    parent: String,
    /// Engines before 28 write it with a space (moby `api/types/types.go`).
    #[serde(default, alias = " Parents")]
    parents: Option<Vec<String>>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    in_use: bool,
    #[serde(default)]
    shared: bool,
    #[serde(default)]
    size: i64,
    #[serde(default)]
    created_at: String,
    #[serde(default)]
    last_used_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PruneAnswer {
    caches_deleted: Option<Vec<IgnoredAny>>,
}

impl Remote {
    /// All records of the build cache. An engine older than API 1.42 measures everything else for that too.
    pub async fn build_cache(&self) -> Result<Vec<CacheRecord>> {
        let answer: UsageAnswer = self
            .get("list its build cache", "/system/df?type=build-cache")
            .await?;
        let records = answer.build_cache.unwrap_or_default().into_iter();
        Ok(records.map(CacheRecord::from).collect())
    }

    /// Removes these records, but for those that are in use or that others stand on. How many that were.
    pub async fn drop_build_cache(&self, ids: &[String]) -> Result<usize> {
        let mut dropped = 0;
        for ids in ids.chunks(RECORDS_AT_ONCE) {
            // moby `daemon/internal/builder-next/builder.go`, `toBuildkitPruneInfo`: one value, a regular
            // expression in containerd's language of filters.
            let expression = format!("\"^({})$\"", ids.join("|"));
            let filters = encoded(&json!({ "id": [expression] }).to_string());
            let target = format!("/build/prune?all=1&filters={filters}");
            let request = self.request(Method::POST, "cut back its build cache", &target);
            let answer: PruneAnswer = self.client.json(&request).await?;
            dropped += answer.caches_deleted.unwrap_or_default().len();
        }
        Ok(dropped)
    }
}

impl From<RecordAnswer> for CacheRecord {
    fn from(answer: RecordAnswer) -> Self {
        let mut parents = answer.parents.unwrap_or_default();
        if parents.is_empty() && !answer.parent.is_empty() {
            parents.push(answer.parent);
        }
        let used = answer.last_used_at.as_deref().and_then(unix_ms);
        Self {
            id: answer.id,
            parents,
            description: answer.description,
            in_use: answer.in_use,
            shared: answer.shared,
            bytes: u64::try_from(answer.size).unwrap_or_default(),
            used_ms: used.max(unix_ms(&answer.created_at)).unwrap_or_default(),
        }
    }
}

/// The Unix time in milliseconds of `2026-11-26T06:52:50.123456789Z` or `…+01:00` (RFC 3339); nothing before
/// 1970.
fn unix_ms(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let numbers: Vec<i64> = date.split('-').map_while(|it| it.parse().ok()).collect();
    let &[year, month, day] = &numbers[..] else {
        return None;
    };
    let zone = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone);
    let mut parts = clock.split(':');
    let hours: i64 = parts.next()?.parse().ok()?;
    let minutes: i64 = parts.next()?.parse().ok()?;
    let seconds: f64 = parts.next()?.parse().ok()?;
    let ms = (days(year, month, day) * 24 + hours) * 3_600_000 + minutes * 60_000;
    let offset = match zone.split_at(1) {
        ("Z", _) => 0,
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            minutes * if sign == "-" { -60_000 } else { 60_000 }
        }
    };
    u64::try_from(ms + (seconds * 1000.0) as i64 - offset).ok()
}

/// Days since 1970, by the calendar that begins years in March: a leap day is then the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_any_zone() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00.5Z", Some(951_825_600_500)),
            ("2026-11-26T06:52:50.123456789Z", Some(1_795_675_970_123)),
            (
                "2026-11-26T07:52:50.123456789+01:00",
                Some(1_795_675_970_123),
            ),
            ("2026-11-26T01:22:50.123-05:30", Some(1_795_675_970_123)),
            ("0001-01-01T00:00:00Z", None),
            ("2026-11-26", None),
            ("", None),
        ] {
            assert_eq!(unix_ms(text), ms, "{text}");
        }
    }

    #[test]
    fn records_of_all_engines_are_read() {
        let answer = r#"{ "LayersSize": 1, "BuildCache": [
            { "ID": "abc", "Parent": "old", "Type": "regular", "Description": "pulled from x", "InUse": false,
              "Shared": true, "Size": 7, "CreatedAt": "1970-01-01T00:00:01Z", "LastUsedAt": null },
            { "ID": "def", " Parents": ["abc", "x"], "InUse": true, "Size": -1,
              "CreatedAt": "1970-01-01T00:00:01Z", "LastUsedAt": "1970-01-01T00:00:02Z" } ] }"#;
        let answer: UsageAnswer = serde_json::from_str(answer).expect("an answer");
        let records = answer.build_cache.expect("listed").into_iter();
        let [first, second]: [CacheRecord; 2] = records
            .map(CacheRecord::from)
            .collect::<Vec<_>>()
            .try_into()
            .expect("two");
        assert_eq!(
            (first.parents, first.used_ms),
            (vec!["old".to_owned()], 1000)
        );
        assert!(first.shared && !first.in_use && second.in_use);
        assert_eq!((second.bytes, second.used_ms), (0, 2000));
        assert_eq!(second.parents, ["abc", "x"]);
    }
}
