//! Images that share little, told apart by the steps or layers that they are made of.

/// Fewer bytes are not worth a stream of their own.
const BRANCH_BYTES_MIN: u64 = 32 << 20;

/// A step or a layer, and how many bytes it adds.
pub(super) type Part<K> = (K, u64);

/// Divides images with what they are made of, lowest first: the images of the branch that has the
/// most behind what all images share come second; the others come first, if they are worth handling
/// the shared part twice. If not, there are none.
pub fn in_two<T, K: PartialEq>(images: Vec<(T, Vec<Part<K>>)>) -> (Vec<T>, Vec<T>) {
    let trunk = trunk(&images);
    let trunk_bytes: u64 = match images.first() {
        Some((_, steps)) => steps[..trunk].iter().map(|step| step.1).sum(),
        None => 0,
    };
    // A branch is what goes on with the same step behind the trunk. About as much as its images
    // have together is the most that one of them has.
    let mut branches: Vec<(Option<&K>, u64)> = Vec::new();
    for (_, steps) in &images {
        let bytes: u64 = steps[trunk..].iter().map(|step| step.1).sum();
        let first = steps.get(trunk).map(|step| &step.0);
        match branches.iter_mut().find(|branch| branch.0 == first) {
            Some((_, most)) => *most = bytes.max(*most),
            None => branches.push((first, bytes)),
        }
    }
    let largest = branches.iter().max_by_key(|branch| branch.1);
    let largest = largest.map(|branch| branch.0);
    let others = branches.iter().filter(|branch| Some(branch.0) != largest);
    let ahead: u64 = others.map(|branch| branch.1).sum();
    // Two requests handle the trunk twice: what is done side by side must be at least as much.
    let pays = ahead >= BRANCH_BYTES_MIN.max(trunk_bytes);
    let is_ahead: Vec<bool> = images
        .iter()
        .map(|(_, steps)| pays && Some(steps.get(trunk).map(|step| &step.0)) != largest)
        .collect();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for ((image, _), is_ahead) in images.into_iter().zip(is_ahead) {
        let side = if is_ahead { &mut first } else { &mut second };
        side.push(image);
    }
    (first, second)
}

/// How many steps all images have in common.
fn trunk<T, K: PartialEq>(images: &[(T, Vec<Part<K>>)]) -> usize {
    let lists = images.iter().map(|(_, steps)| steps.as_slice());
    let shared = lists.reduce(|shared, steps| &shared[..in_common(shared, steps)]);
    shared.map_or(0, <[_]>::len)
}

fn in_common<K: PartialEq>(one: &[Part<K>], other: &[Part<K>]) -> usize {
    let both = one.iter().zip(other);
    both.take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image with steps of these names and mebibytes.
    fn image(
        name: &'static str,
        steps: &[(&'static str, u64)],
    ) -> (&'static str, Vec<Part<&'static str>>) {
        let steps = steps
            .iter()
            .map(|(step, mebibytes)| (*step, mebibytes << 20));
        (name, steps.collect())
    }

    fn in_two(images: &[(&'static str, Vec<Part<&'static str>>)]) -> [String; 2] {
        let (ahead, rest) = super::in_two(images.to_vec());
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
