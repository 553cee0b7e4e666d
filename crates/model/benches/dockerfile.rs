//! How fast Dockerfiles are read: `cargo bench -p larder-model --bench dockerfile`.

use divan::counter::BytesCount;
use larder_model::dockerfile::{BuildOptions, parse};
use larder_model::plan::Plan;

fn main() {
    divan::main();
}

/// A build of this many stages, with what real ones are made of.
fn sample(stages: usize) -> String {
    let mut text = String::from("# syntax=docker/dockerfile:1\nARG VERSION=3.3\n");
    for stage in 0..stages {
        text.push_str(&format!(
            "\n# Stage {stage}: packages, dependencies, sources.\n"
        ));
        text.push_str(&format!(
            "FROM --platform=$BUILDPLATFORM ruby:${{VERSION}}-slim AS stage{stage}\n"
        ));
        text.push_str("ARG TARGETARCH\nENV LANG=C.UTF-8 PATH=\"/app/bin:$PATH\" \\\n    RAILS_ENV=production\n");
        text.push_str("RUN apt-get update && apt-get install --yes --no-install-recommends \\\n");
        for package in [
            "build-essential",
            "git",
            "libpq-dev",
            "libyaml-dev",
            "pkg-config",
        ] {
            text.push_str(&format!("      {package} \\\n"));
        }
        text.push_str("    && rm -rf /var/lib/apt/lists/*\n");
        text.push_str("WORKDIR /app\nCOPY Gemfile Gemfile.lock ./\n");
        text.push_str(
            "RUN --mount=type=cache,target=/root/.bundle,sharing=locked bundle install --jobs 4\n",
        );
        text.push_str("RUN <<EOF\nset -e\nbundle exec bootsnap precompile --gemfile app/ lib/\nbin/rails assets:precompile\nEOF\n");
        text.push_str("COPY --chown=1000:1000 --link . .\nEXPOSE 3000\nUSER 1000:1000\n");
        text.push_str("ENTRYPOINT [\"bin/docker-entrypoint\"]\nCMD [\"bin/rails\", \"server\", \"-b\", \"0.0.0.0\"]\n");
    }
    text
}

#[divan::bench(args = [1, 10, 100])]
fn parse_file(bencher: divan::Bencher<'_, '_>, stages: usize) {
    let text = sample(stages);
    bencher
        .counter(BytesCount::new(text.len()))
        .bench(|| parse(divan::black_box(text.as_bytes())));
}

#[divan::bench(args = [1, 10, 100])]
fn bases_of_a_file(bencher: divan::Bencher<'_, '_>, stages: usize) {
    let file = parse(sample(stages).as_bytes()).expect("the sample is well formed");
    bencher.bench(|| file.bases(divan::black_box(&BuildOptions::default())));
}

#[divan::bench(args = [1, 10, 100])]
fn file_to_key(bencher: divan::Bencher<'_, '_>, stages: usize) {
    let text = sample(stages);
    let options = BuildOptions::default();
    bencher.bench(|| {
        let file = parse(text.as_bytes()).expect("the sample is well formed");
        let bases = file.bases(&options).expect("the sample needs no options");
        Plan::new(&bases, &options).key()
    });
}
