//! Tars as real programs write them: every format of GNU tar and of Python's tarfile.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use larder_model::archive::split::{Splitter, Stream};

use super::kit::{load, noise, save, store};

/// How often times were changed: each time to another one.
static TOUCHED: AtomicU32 = AtomicU32::new(0);

/// A folder with what makes headers odd.
fn odd_files(folder: &Path) {
    let long = "a-long-name-".repeat(15);
    let deep = folder.join("deep".repeat(20)).join("er".repeat(60));
    fs::create_dir_all(&deep).expect("made");
    fs::write(deep.join(&long), noise(1, 70_000)).expect("written");
    fs::write(folder.join("empty"), b"").expect("written");
    fs::write(folder.join("ümläut"), b"text").expect("written");
    for at in 0..40 {
        fs::write(
            folder.join(format!("small-{at}")),
            noise(at, 37 * at as usize),
        )
        .expect("written");
    }
    fs::write(folder.join("large"), noise(9, 3_000_000)).expect("written");
    fs::hard_link(folder.join("large"), folder.join("linked")).expect("linked");
    std::os::unix::fs::symlink("x".repeat(150), folder.join("pointing")).expect("linked");
    let sparse = fs::File::create(folder.join("sparse")).expect("made");
    // More stretches than the map in one old GNU header holds (4), and its first extension (21).
    for at in 0..60 {
        sparse
            .write_all_at(&noise(at, 4096), at * 1_000_000)
            .expect("written");
    }
    sparse.set_len(80_000_000).expect("made longer");
}

/// Runs a program and gives its standard output.
fn output(command: &mut Command) -> Vec<u8> {
    let out = command.output().expect("it starts");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    out.stdout
}

/// The bytes of both streams.
fn split(tar: &[u8]) -> [Vec<u8>; 2] {
    let mut streams = [Vec::new(), Vec::new()];
    let mut splitter = Splitter::default();
    let mut emit = |stream: Stream, bytes: &[u8]| streams[stream as usize].extend_from_slice(bytes);
    tar.chunks(10_007)
        .for_each(|piece| splitter.feed(piece, &mut emit));
    splitter.finish(&mut emit);
    streams
}

/// Makes the folder's tar twice, all times changed in between, and checks that contents are told from
/// headers: they are equal, and the second save stores no chunk of them.
async fn check(what: &str, folder: &Path, tar: impl Fn() -> Vec<u8>) {
    let first = tar();
    let time = 1_700_000_000 + TOUCHED.fetch_add(1, Ordering::Relaxed);
    let touch = Command::new("sh")
        .args([
            "-c",
            "find . -exec touch -h -d @$0.5 {} +",
            &time.to_string(),
        ])
        .current_dir(folder)
        .status();
    assert!(touch.expect("it starts").success());
    let second = tar();
    assert!(first != second, "{what}: the times are in it");
    let (one, other) = (split(&first), split(&second));
    assert!(one[0] != other[0], "{what}: the headers differ");
    assert!(one[1] == other[1], "{what}: the contents do not");
    let meta = one[0].len();
    assert!(meta < 200_000, "{what}: {meta} bytes of headers");

    let (_folder, objects) = store();
    let parent = save(&objects, None, &[("layer", &first)])
        .await
        .expect("saved");
    let saved = save(&objects, Some(&parent), &[("layer", &second)])
        .await
        .expect("saved");
    let statistics = saved.document.statistics;
    assert!(
        statistics.new_bytes <= other[0].len() as u64,
        "{what}: {statistics:?}"
    );
    assert!(
        load(&objects, &parent, "layer").await.expect("read") == first,
        "{what}"
    );
    assert!(
        load(&objects, &saved, "layer").await.expect("read") == second,
        "{what}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn gnu_tar_in_all_its_formats() {
    let folder = tempfile::tempdir().expect("a folder");
    odd_files(folder.path());
    for options in [
        &["--format=gnu"][..],
        &["--format=oldgnu"],
        &["--format=pax"],
        &[
            "--format=pax",
            "--xattrs",
            "--sparse",
            "--sparse-version=1.0",
        ],
        &["--format=pax", "--sparse", "--sparse-version=0.0"],
        &["--format=pax", "--sparse", "--sparse-version=0.1"],
        &["--format=gnu", "--sparse"],
        &["--format=oldgnu", "--sparse"],
    ] {
        let tar = || {
            let mut tar = Command::new("tar");
            let tar = tar.args(["--sort=name", "-cf", "-"]).args(options);
            output(tar.args(["-C", &folder.path().to_string_lossy(), "."]))
        };
        check(&options.join(" "), folder.path(), tar).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gnu_tar_in_the_formats_without_long_names() {
    let folder = tempfile::tempdir().expect("a folder");
    for at in 0..50 {
        let file = folder.path().join(format!("file-{at}"));
        fs::write(file, noise(at, 999 * at as usize)).expect("written");
    }
    for format in ["--format=v7", "--format=ustar"] {
        let tar = || {
            let mut tar = Command::new("tar");
            let tar = tar.args(["--sort=name", "-cf", "-", format, "-C"]);
            output(tar.arg(folder.path()).arg("."))
        };
        check(format, folder.path(), tar).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pythons_tarfile_in_all_its_formats() {
    let folder = tempfile::tempdir().expect("a folder");
    odd_files(folder.path());
    for format in ["GNU_FORMAT", "PAX_FORMAT"] {
        let script = format!(
            "import sys, tarfile\n\
             with tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=tarfile.{format}) as tar:\n\
             \x20   tar.add(sys.argv[1], arcname='layer')\n"
        );
        let tar = || {
            output(
                Command::new("python3")
                    .args(["-c", &script])
                    .arg(folder.path()),
            )
        };
        check(format, folder.path(), tar).await;
    }
}
