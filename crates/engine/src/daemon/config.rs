//! The configuration files and the environment of our daemons.

use std::ffi::{OsStr, OsString};
use std::net::Ipv4Addr;
use std::path::Path;

use larder_docker::ImageStore;
use larder_local::programs::USUAL_FOLDERS;
use serde_json::{Value, json};

use super::taken_over::TakenOver;

/// containerd's plugins that dockerd never asks for. Each costs start time (cri alone tens of
/// milliseconds; aufs and zfs run `modprobe`), and every snapshotter makes its directory in the
/// volume. Names of all versions: one that a version does not have is passed over
/// (containerd `pkg/plugin` filters by name only).
const UNUSED_PLUGINS: [&str; 20] = [
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.grpc.v1.cri",
    "io.containerd.image-verifier.v1.bindir",
    "io.containerd.internal.v1.cri",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.restart",
    "io.containerd.internal.v1.tracing",
    "io.containerd.nri.v1.nri",
    "io.containerd.podsandbox.controller.v1.cri",
    "io.containerd.sandbox.controller.v1.podsandbox",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.native",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.ttrpc.v1.otelttrpc",
];

/// containerd's configuration. Version 2 of the format is read by 1.x, and by 2.x, which
/// converts it. Garbage collection at start is put off: it would walk metadata that lies on a
/// lazy disk, and removing an image collects by itself.
pub(crate) fn containerd_toml(root: &Path, state: &Path, socket: &Path) -> String {
    let plugins = UNUSED_PLUGINS.map(|name| format!("  {name:?},\n")).concat();
    format!(
        "version = 2\n\
         root = {root}\n\
         state = {state}\n\
         disabled_plugins = [\n{plugins}]\n\n\
         [grpc]\n\
         address = {socket}\n\n\
         [plugins.\"io.containerd.gc.v1.scheduler\"]\n\
         startup_delay = \"10m\"\n",
        root = quoted(root),
        state = quoted(state),
        socket = quoted(socket),
    )
}

/// A path as a string of TOML, whose escapes are those of JSON.
fn quoted(path: &Path) -> Value {
    path.display().to_string().into()
}

/// dockerd's configuration: what must hold for every engine on a volume, over what is taken over from
/// the machine's own. `host_gateway` is the host's address, if that is not the default bridge's; `nftables`:
/// there is no iptables.
///
/// - `builder.gc` off: BuildKit collects one second after start (`control/control.go`), which
///   would read the whole cache's metadata off a lazy disk.
/// - `live-restore` off: containers must end with the engine.
/// - image store and driver explicit: an engine left to itself follows what it finds in its root (moby
///   `daemon/image_store_choice.go`), and a volume that wanders between machines would flip.
pub(crate) fn daemon_json(
    store: ImageStore,
    taken_over: &TakenOver,
    host_gateway: Option<Ipv4Addr>,
    nftables: bool,
) -> Value {
    let mut config = Value::Object(taken_over.settings.clone());
    config["features"]["containerd-snapshotter"] = (store == ImageStore::Containerd).into();
    config["storage-driver"] = match store {
        ImageStore::Overlay2 => "overlay2".into(),
        ImageStore::Containerd => "overlayfs".into(),
    };
    config["builder"]["gc"] = json!({ "enabled": false });
    config["live-restore"] = false.into();
    if nftables && taken_over.firewall_backend().is_none() {
        config["firewall-backend"] = "nftables".into();
    }
    if let Some(address) = host_gateway.filter(|_| !taken_over.names_host_gateway()) {
        config["host-gateway-ip"] = address.to_string().into();
    }
    config
}

/// Beginnings and parts of the names of variables that an engine does not get.
const HIDDEN_PREFIXES: [&str; 8] = [
    "LARDER_",
    "AWS_",
    "AZURE_",
    "GOOGLE_",
    "GCP_",
    "ACTIONS_",
    "CLOUDSDK_",
    "DOCKER_",
];
const HIDDEN_PARTS: [&str; 9] = [
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "PRIVATE_KEY",
    "ACCESS_KEY",
    "API_KEY",
];

/// What an engine may see of its starter's environment: not our own settings, whose store URLs
/// hold secrets, and not credentials, which every container's `docker inspect` of a proxy or a
/// crash dump would show.
pub fn child_environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let mut kept: Vec<_> = variables
        .into_iter()
        .filter(|(name, _)| !is_hidden(name))
        .collect();
    if let Some((_, path)) = kept.iter_mut().find(|(name, _)| name == "PATH") {
        // dockerd looks for iptables and for containerd's programs in it.
        for folder in USUAL_FOLDERS {
            path.push(":");
            path.push(folder);
        }
    }
    kept
}

fn is_hidden(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    HIDDEN_PREFIXES
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || HIDDEN_PARTS.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_hold_on_a_volume_wins() {
        let mut taken_over = TakenOver::default();
        let theirs = json!({ "bip": "10.9.0.1/24", "features": { "cdi": true }, "builder": { "entitlements": {} } });
        taken_over.settings = theirs.as_object().expect("an object").clone();
        let gateway = Some(Ipv4Addr::new(10, 213, 0, 1));
        let config = daemon_json(ImageStore::Overlay2, &taken_over, gateway, true);
        assert_eq!(config["bip"], "10.9.0.1/24");
        assert_eq!(config["firewall-backend"], "nftables");
        let features = json!({ "cdi": true, "containerd-snapshotter": false });
        assert_eq!(config["features"], features);
        assert_eq!(config["storage-driver"], "overlay2");
        assert_eq!(config["live-restore"], false);
        let builder = json!({ "entitlements": {}, "gc": { "enabled": false } });
        assert_eq!(config["builder"], builder);
        assert_eq!(config["host-gateway-ip"], "10.213.0.1");
        let theirs = json!({ "host-gateway-ips": ["192.0.2.1"], "firewall-backend": "iptables" });
        taken_over.settings = theirs.as_object().expect("an object").clone();
        let config = daemon_json(ImageStore::Overlay2, &taken_over, gateway, false);
        assert_eq!(config.get("host-gateway-ip"), None);
    }

    #[test]
    fn secrets_stay_out_of_the_engine() {
        let given = [
            "PATH",
            "HTTPS_PROXY",
            "AWS_PROFILE",
            "LARDER_STORE",
            "MY_token",
            "DOCKER_HOST",
            "HOME",
        ];
        let kept: Vec<_> = child_environment(given.map(|name| (name.into(), "x".into())))
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(kept, ["PATH", "HTTPS_PROXY", "HOME"]);
    }

    #[test]
    fn the_engine_finds_what_is_in_sbin() {
        let kept = child_environment([("PATH".into(), "/opt/bin:/usr/bin".into())]);
        let path = kept[0].1.to_string_lossy();
        assert!(path.starts_with("/opt/bin:/usr/bin:"), "{path}");
        assert!(path.split(':').any(|directory| directory == "/usr/sbin"));
    }
}
