//! Whoever can write a whole snapshot: what is on its volume. No engine starts on what would run or lead out by
//! itself, nothing below it is followed out of it, and a job works all the same.

use anyhow::{Result, ensure};
use xtask_tools::process;
use xtask_tools::random::Random;

use super::Attack;
use super::ground::{Ground, WORD, chance, one};

/// A container that starts by itself, with the machine's root in it.
const CONTAINER: &str = r#"id=$(printf 'a1%.0s' $(seq 32)); mkdir -p docker/containers/$id
printf '{"ID":"%s","State":{"Running":true},"Path":"/bin/busybox","Args":["touch","/host/owned"],"Config":{"Image":"x"},"Name":"/x","Driver":"overlay2"}' $id > docker/containers/$id/config.v2.json
echo '{"Privileged":true,"Binds":["/:/host"],"RestartPolicy":{"Name":"always"}}' > docker/containers/$id/hostconfig.json"#;
/// Places of a volume that are directories.
const FOLDERS: [&str; 10] = [
    "docker",
    "docker/volumes",
    "docker/overlay2",
    "docker/image",
    "docker/buildkit",
    "docker/containers",
    "docker/network",
    "docker/tmp",
    "containerd",
    "docker/image/overlay2/imagedb",
];
/// And files.
const FILES: [&str; 7] = [
    "docker/engine-id",
    "docker/buildkit/cache.db",
    "docker/buildkit/metadata_v2.db",
    "docker/buildkit/history_c8d.db",
    "docker/image/overlay2/repositories.json",
    "containerd/io.containerd.metadata.v1.bolt/meta.db",
    "larder.json",
];

pub(crate) fn attack(ground: &mut Ground<'_>, random: &mut Random) -> Result<Attack> {
    let store = ground.store()?;
    let mut parts: Vec<String> = Vec::new();
    for _ in 0..=random.below(2) {
        parts.push(line(ground, random));
    }
    let script = parts.join("\n");
    let mut forge = ground.forge();
    process::run(forge.arg(&store).arg("shop").arg(&script))?;
    let ran = ground.run(ground.job(&store))?;
    let mut broken = ran.faults(&[0]);
    if !ran.said.lines().any(|line| line == WORD) {
        broken.push("the job did not say its word".to_owned());
    }
    ensure!(
        !std::path::Path::new("/owned").exists(),
        "a container of the volume's has run"
    );
    Ok(Attack { parts, ran, broken })
}

/// One line of a shell in the volume's root.
fn line(ground: &Ground<'_>, random: &mut Random) -> String {
    let target = one(random, &ground.victims.paths()).display().to_string();
    let folder = one(random, &FOLDERS);
    let file = one(random, &FILES);
    match random.below(9) {
        0 => CONTAINER.to_owned(),
        1 => format!("rm -rf {folder}; ln -s {target} {folder}"),
        2 => format!("rm -rf {file}; mkdir -p $(dirname {file}); ln -s {target} {file}"),
        3 => format!("mkdir -p {folder}; ln -s {target} {folder}/more"),
        4 => format!("rm -rf {file}; mkdir -p $(dirname {file}); mkfifo {file}"),
        5 => format!(
            "mkdir -p $(dirname {file}); rm -rf {file}; head -c 70000 /dev/urandom > {file}"
        ),
        6 => format!("mkdir -p {folder}; mknod {folder}/disk b 7 0; mknod {folder}/memory c 1 1"),
        7 => {
            let name = if chance(random, 50) {
                "plugins"
            } else {
                "swarm"
            };
            format!("mkdir -p docker/{name}/x; echo '{{}}' > docker/{name}/x/config.json")
        }
        _ => format!(
            "for n in $(seq 300); do mkdir -p d/d/d/d; mv d e; mkdir d; mv e d/e; done; mkdir -p {folder}; mv d {folder}/deep"
        ),
    }
}
