//! How fast Dockerfiles are read: `cargo bench -p larder-model --bench dockerfile`.

use divan::counter::BytesCount;
use larder_model::dockerfile::{BuildOptions, parse};
use larder_model::plan::Plan;
use larder_model::plan::key::Key;

fn main() {
    divan::main();
}

/// A stage with what real ones are made of; `@` is its number.
const STAGE: &str = r#"
# Stage @: packages, dependencies, sources.
FROM --platform=$BUILDPLATFORM ruby:${VERSION}-slim AS stage@
ARG TARGETARCH
ENV LANG=C.UTF-8 PATH="/app/bin:$PATH" \
    RAILS_ENV=production
RUN apt-get update && apt-get install --yes --no-install-recommends \
      build-essential \
      git \
      libpq-dev \
      libyaml-dev \
      pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY Gemfile Gemfile.lock ./
RUN --mount=type=cache,target=/root/.bundle,sharing=locked bundle install --jobs 4
RUN <<EOF
set -e
bundle exec bootsnap precompile --gemfile app/ lib/
bin/rails assets:precompile
EOF
COPY --chown=1000:1000 --link . .
EXPOSE 3000
USER 1000:1000
ENTRYPOINT ["bin/docker-entrypoint"]
CMD ["bin/rails", "server", "-b", "0.0.0.0"]
"#;

/// A build of this many stages.
fn sample(stages: usize) -> String {
    let head = "# syntax=docker/dockerfile:1\nARG VERSION=3.3\n".to_owned();
    let stages = (0..stages).map(|stage| STAGE.replace('@', &stage.to_string()));
    std::iter::once(head).chain(stages).collect()
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
        Key::of(&Plan::new(&bases, &options))
    });
}
