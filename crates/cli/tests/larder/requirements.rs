//! What a machine may lack: one line with the cure and exit code 3, before the command is run.

use std::process::Command;

use crate::kit::{Store, text};
use crate::machine::Machine;

/// Makes `/dev` anew with these nodes only.
fn only_devices(nodes: &str) -> String {
    format!(
        "mount -t tmpfs dev /dev && cd /dev && mknod null c 1 3 && mknod urandom c 1 9 && {nodes}"
    )
}

const PRIVILEGED: &str = "start this container with --privileged";

fn read_only(folder: &str) -> String {
    format!("mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}")
}

/// Root without capabilities that containers lack.
const NO_NET_ADMIN: [&str; 3] = [
    "setpriv",
    "--bounding-set=-net_admin",
    "--inh-caps=-net_admin",
];
const NO_SYS_ADMIN: [&str; 3] = [
    "setpriv",
    "--bounding-set=-sys_admin",
    "--inh-caps=-sys_admin",
];

/// Runs larder in a mount namespace where `before` was done; `wrapper` comes before its name.
fn lacking(machine: &Machine, before: &str, wrapper: &[&str], options: &[&str]) -> Command {
    let store = Store::new();
    let larder = machine.larder_on("run", &store.url(), "private");
    let words: Vec<_> = larder
        .get_args()
        .skip_while(|word| *word != "--")
        .skip(1)
        .collect();
    let mut command = machine.command("unshare");
    let line = format!("{before}; exec \"$@\"");
    command
        .args(["--mount", "sh", "-c", &line, "sh"])
        .args(wrapper)
        .args(words);
    command.args(options).args([
        "--",
        "sh",
        "-c",
        "echo the command ran on ${DOCKER_HOST:-the plain engine}",
    ]);
    command
}

/// The doctor in the same place.
fn doctor(machine: &Machine, before: &str, wrapper: &[&str]) -> Command {
    let mut command = machine.command("unshare");
    let line = format!("{before}; exec \"$@\"");
    command
        .args(["--mount", "sh", "-c", &line, "sh"])
        .args(wrapper);
    command
        .arg(machine.path("larder"))
        .args(["doctor", "--state"])
        .arg(machine.state());
    command
}

/// Every lack: what to do before, what larder is wrapped in, what it must say.
fn lacks() -> Vec<(String, Vec<&'static str>, [&'static str; 2])> {
    let setpriv = vec!["setpriv", "--reuid=65534", "--clear-groups"];
    let empty = "mkdir -p /run/none && mount --bind /run/none";
    vec![
        (":".to_owned(), setpriv, ["root", "sudo"]),
        (
            only_devices("mknod loop-control c 10 237"),
            vec![],
            ["/dev/fuse", "modprobe fuse"],
        ),
        (
            only_devices("mknod fuse c 10 229"),
            vec![],
            ["/dev/loop-control", "modprobe loop"],
        ),
        // A folder in its place is no program.
        (
            "mount --bind /dev/null /usr/sbin/dockerd".to_owned(),
            vec![],
            ["dockerd", "install"],
        ),
        (
            "mount --bind /dev/null /usr/sbin/iptables-save".to_owned(),
            vec![],
            ["iptables-save", "install the package iptables"],
        ),
        (
            format!("{empty} /usr/sbin"),
            vec![],
            ["mkfs.ext4", "e2fsprogs"],
        ),
        (
            "mount -t tmpfs etc /etc/docker && echo '{\"userns-remap\":\"default\"}' >/etc/docker/daemon.json"
                .to_owned(),
            vec![],
            ["userns-remap", "larder build"],
        ),
    ]
}

/// What containers with some privileges may not do.
fn forbidden() -> Vec<(String, Vec<&'static str>, [&'static str; 2])> {
    vec![
        (":".to_owned(), NO_NET_ADMIN.to_vec(), ["the firewall cannot be read", PRIVILEGED]),
        (":".to_owned(), NO_SYS_ADMIN.to_vec(), ["mounts cannot be kept apart", PRIVILEGED]),
        (
            only_devices(
                "mknod fuse c 10 229 && mknod loop-control c 10 237 && \
                 for n in $(seq 0 400); do mkdir loop$n; done",
            ),
            vec![],
            ["the loop device /dev/loop", PRIVILEGED],
        ),
        (
            read_only("/proc/sys"),
            vec![],
            ["/proc/sys cannot be written", PRIVILEGED],
        ),
        (
            "for m in $(awk '/ cgroup2? / { print $2 }' /proc/mounts); do mount -o remount,ro,bind $m; done".to_owned(),
            vec![],
            ["control groups cannot be made", PRIVILEGED],
        ),
        (
            read_only("/var/lib"),
            vec![],
            ["/var/lib/larder/volume is on a read-only", "mount a volume"],
        ),
        (
            "mount -t tmpfs run /run && mkdir /run/c && for d in dev etc proc root sys tmp usr var; do \
             mkdir /run/c/$d && mount --rbind /$d /run/c/$d; done && mkdir /run/c/run && \
             for l in bin lib lib64 sbin; do ln -s usr/$l /run/c/$l; done"
                .to_owned(),
            vec!["chroot", "/run/c"],
            ["this chroot a mount point", "mount --bind"],
        ),
    ]
}

#[test]
fn each_lack_has_its_line_and_its_cure() {
    let machine = Machine::new();
    for (before, wrapper, words) in lacks().into_iter().chain(forbidden()) {
        let output = lacking(&machine, &before, &wrapper, &[])
            .output()
            .expect("it starts");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(3), "{before}: {said}");
        assert!(
            words.iter().all(|word| said.contains(word)),
            "{before}: {said}"
        );
        assert_eq!(said.lines().count(), 1, "{before}: {said}");
        let mut doctor = doctor(&machine, &before, &wrapper);
        let found = text(&doctor.output().expect("it starts"));
        let volume = found.lines().find(|line| line.contains(" volume "));
        let volume = volume.expect("a line about the volume");
        assert!(
            volume.starts_with(" no ") && words.iter().all(|word| volume.contains(word)),
            "{before}: {volume}"
        );
    }
    machine.assert_untouched();
}

#[test]
fn an_optional_larder_runs_the_command_on_the_plain_engine() {
    let machine = Machine::new();
    for (before, wrapper, words) in lacks().into_iter().chain(forbidden()) {
        let output = lacking(&machine, &before, &wrapper, &["--optional"]).output();
        let output = output.expect("it starts");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(0), "{before}: {said}");
        assert!(
            said.contains("the command ran on the plain engine"),
            "{before}: {said}"
        );
        assert!(
            words.iter().all(|word| said.contains(word)),
            "{before}: {said}"
        );
    }
    machine.assert_untouched();
}

#[test]
fn a_store_that_may_only_be_read_is_a_good_one_for_untrusted_jobs() {
    let (store, machine) = (Store::new(), Machine::new());
    let at = store.path().display().to_string();
    for (before, code, words) in [
        (
            read_only(&at),
            0,
            [
                "-- store",
                "to write, it takes write permission in the directory; jobs with these credentials restore and save \
                 nothing",
                "ok door volume: use larder run, or up and down; jobs here restore, and save nothing",
            ],
        ),
        (
            format!("touch {at}/v1"),
            3,
            ["no store", "cannot list v1/", "no door without a store"],
        ),
    ] {
        let mut command = doctor(&machine, &before, &[]);
        let output = command.args(["--store", &at]).output().expect("it starts");
        let said = text(&output);
        // Columns are padded.
        let plain = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(code), "{before}: {said}");
        for word in words {
            assert!(plain.contains(word), "{word}: {said}");
        }
    }
    machine.assert_untouched();
}
