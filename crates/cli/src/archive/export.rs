//! The engine's export, taken apart as it arrives; what the store holds is drained.
//!
//! A graph driver writes all of an export to its disk before it sends the first byte (moby
//! `image/tarexport/save.go`, `save`). So images that share little are asked for at once in two
//! requests: the smaller one is stored while the engine still writes the larger.

use larder_engine::ImageStore;
use larder_engine::api::{ApiError, Chains, ExportStream, Remote};
use larder_engine::archive::{Contents, Documents, ExportReader};
use larder_store::ArchiveWriter;

use crate::report::Report;

/// What one request saves by running ahead must be more than this.
const AHEAD_BYTES_MIN: u64 = 32 << 20;

/// What is exported, and what the archive before this one holds.
pub struct Export<'a> {
    pub engine: &'a Remote,
    pub chains: Chains,
    pub former: Option<&'a Contents>,
    pub report: &'a Report,
}

impl Export<'_> {
    /// Stores these images; says what they are, and what their documents are.
    pub async fn take(
        &self,
        names: &[String],
        writer: &mut ArchiveWriter,
    ) -> Result<(Contents, Documents), String> {
        let (ahead, rest) = self.requests(names).await.map_err(text)?;
        if ahead.is_empty() {
            return self.request(&rest, 0, writer).await;
        }
        let begun = async { self.engine.export(&rest).await.map_err(text) };
        let (first, begun) = tokio::try_join!(self.request(&ahead, 0, writer), begun)?;
        let (contents, mut documents) = first;
        let read = contents.blobs.values().sum();
        let (others, more) = self.store(begun, read, writer).await?;
        documents.extend(more);
        Ok((contents.and(others).map_err(text)?, documents))
    }

    /// The images of both requests. The first has none where two would not pay.
    async fn requests(&self, names: &[String]) -> Result<(Vec<String>, Vec<String>), ApiError> {
        let streamed = self.engine.about().image_store.kind() == ImageStore::Containerd;
        // An image's link to its parent is only exported along with that.
        if streamed || self.chains == Chains::Parents {
            return Ok((Vec::new(), names.to_vec()));
        }
        let mut images = Vec::with_capacity(names.len());
        for name in names {
            let steps = self.engine.history(name).await?.into_iter().rev();
            let steps = steps.map(|step| (step.created_by, step.bytes));
            images.push((name.clone(), steps.collect()));
        }
        Ok(in_two(&images))
    }

    async fn request(
        &self,
        names: &[String],
        read: u64,
        writer: &mut ArchiveWriter,
    ) -> Result<(Contents, Documents), String> {
        let export = self.engine.export(names).await.map_err(text)?;
        self.store(export, read, writer).await
    }

    /// Stores what an export brings. `read` is what came before.
    async fn store(
        &self,
        export: ExportStream,
        mut read: u64,
        writer: &mut ArchiveWriter,
    ) -> Result<(Contents, Documents), String> {
        let store = self.engine.about().image_store.kind();
        let mut reader = ExportReader::new(export, store, self.former);
        while let Some(blob) = reader.next().await.map_err(text)? {
            let (name, size) = (blob.name().to_owned(), blob.size());
            let written = writer.wrote(&name) == Some(size);
            if written || writer.has(&name) == Some(size) && writer.keep(&name) {
                blob.skip().await.map_err(text)?;
            } else {
                let stored = writer.blob(&name, size, blob.into_stream()).await;
                stored.map_err(text)?;
            }
            read += size;
            self.report.moved("saving", read);
        }
        self.report.clear_progress();
        reader.finish().await.map_err(text)
    }
}

/// A step of an image's history, and how many bytes it added.
type Step = (String, u64);

/// Divides images with their steps, base first: those of the branch that has the most behind the steps
/// that all images share, and the others before these, if they are worth sending the shared ones twice.
fn in_two(images: &[(String, Vec<Step>)]) -> (Vec<String>, Vec<String>) {
    let trunk = trunk(images);
    let trunk_bytes: u64 = trunk.iter().map(|step| step.1).sum();
    // A branch is what goes on with the same step behind the trunk. About as much as its images
    // have together is the most that one of them has.
    let mut branches: Vec<(Option<&Step>, u64)> = Vec::new();
    for (_, steps) in images {
        let bytes: u64 = steps.iter().skip(trunk.len()).map(|step| step.1).sum();
        let first = steps.get(trunk.len());
        match branches.iter_mut().find(|branch| branch.0 == first) {
            Some((_, most)) => *most = bytes.max(*most),
            None => branches.push((first, bytes)),
        }
    }
    let largest = branches
        .iter()
        .max_by_key(|branch| branch.1)
        .map(|branch| branch.0);
    let others = branches.iter().filter(|branch| Some(branch.0) != largest);
    let ahead: u64 = others.map(|branch| branch.1).sum();
    let pays = ahead >= AHEAD_BYTES_MIN.max(trunk_bytes);
    let (ahead, rest): (Vec<_>, Vec<_>) = images
        .iter()
        .partition(|(_, steps)| pays && Some(steps.get(trunk.len())) != largest);
    let names = |images: Vec<&(String, _)>| images.into_iter().map(|it| it.0.clone()).collect();
    (names(ahead), names(rest))
}

/// The steps that all images have in common, base first.
fn trunk(images: &[(String, Vec<Step>)]) -> &[Step] {
    let lists = images.iter().map(|(_, steps)| steps.as_slice());
    let common = |one: &'_ [Step], other: &[Step]| {
        one.iter()
            .zip(other)
            .take_while(|(one, other)| one == other)
            .count()
    };
    lists
        .reduce(|trunk, steps| &trunk[..common(trunk, steps)])
        .unwrap_or_default()
}

#[allow(clippy::needless_pass_by_value)] // errors come by value, as `map_err` hands them over
fn text(error: impl ToString) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image with steps of these names and mebibytes.
    fn image(name: &str, steps: &[(&str, u64)]) -> (String, Vec<Step>) {
        let step = |(step, mebibytes): &(&str, u64)| ((*step).to_owned(), mebibytes << 20);
        (name.to_owned(), steps.iter().map(step).collect())
    }

    fn in_two(images: &[(String, Vec<Step>)]) -> [String; 2] {
        let (ahead, rest) = super::in_two(images);
        [ahead.join(" "), rest.join(" ")]
    }

    #[test]
    fn a_small_branch_runs_ahead_of_the_large_one() {
        let base = ("base", 120);
        let tools = image("tools", &[base, ("apt-get", 500)]);
        let build = image("build", &[base, ("apt-get", 500), ("npm", 200)]);
        let app = image("app", &[base, ("COPY", 130), ("CMD", 0)]);
        let slim = image("slim", &[base, ("COPY", 20), ("CMD", 0)]);
        let plain = image("plain", &[base]);
        let all = [app.clone(), build.clone(), tools.clone()];
        assert_eq!(in_two(&all), ["app", "build tools"]);
        assert_eq!(in_two(&[plain, app, build.clone()]), ["plain app", "build"]);
        // Less than what would be sent twice.
        assert_eq!(in_two(&[slim, build.clone()]), ["", "slim build"]);
        // One in the other.
        assert_eq!(in_two(&[tools, build.clone()]), ["", "tools build"]);
        assert_eq!(in_two(&[build]), ["", "build"]);
        assert_eq!(in_two(&[]), ["", ""]);
    }

    #[test]
    fn images_without_a_common_base_are_two_requests_if_that_is_worth_one() {
        let one = image("one", &[("a", 100), ("b", 0)]);
        let two = image("two", &[("c", 40)]);
        let three = image("three", &[("d", 2)]);
        assert_eq!(in_two(&[one.clone(), two.clone()]), ["two", "one"]);
        assert_eq!(in_two(&[one.clone(), three.clone()]), ["", "one three"]);
        assert_eq!(in_two(&[three, one, two]), ["three two", "one"]);
    }
}
