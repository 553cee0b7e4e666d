//! How long it takes to look for secrets in the history of an image: `cargo bench -p larder-secrets`.

use divan::Bencher;
use larder_secrets::scan_step;

fn main() {
    divan::main();
}

/// Steps as official images have them, and one in a hundred with a token.
fn history(lines: usize) -> Vec<String> {
    let line = |number: usize| match number % 100 {
        0 => format!(
            "RUN |1 NPM_TOKEN={}{} /bin/sh -c npm ci # buildkit",
            "glpat-",
            &blake3::hash(&number.to_le_bytes()).to_hex()[..20]
        ),
        n if n % 4 == 1 => format!("ENV PYTHON_SHA256={number:064x}"),
        n if n % 4 == 2 => format!("COPY file:{number:064x} in /usr/local/bin/ "),
        n if n % 4 == 3 => "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin".to_owned(),
        _ => format!(
            "RUN /bin/sh -c set -eux; apt-get update; apt-get install -y --no-install-recommends \
             ca-certificates curl; curl -fsSL -o tool.tgz https://example.org/v{number}/tool.tgz; \
             echo \"{number:064x} *tool.tgz\" | sha256sum -c -; tar -xzf tool.tgz -C /usr/local; \
             gpg --batch --keyserver hkps://keys.openpgp.org --recv-keys {number:040X}; \
             rm -rf /var/lib/apt/lists/* # buildkit"
        ),
    };
    (0..lines).map(line).collect()
}

#[divan::bench(args = [100, 10_000])]
fn steps(bencher: Bencher, lines: usize) {
    let history = history(lines);
    let found = |history: &[String]| {
        history
            .iter()
            .map(|step| scan_step(step).len())
            .sum::<usize>()
    };
    assert_eq!(found(&history), lines / 100);
    bencher.bench(|| found(&history));
}
