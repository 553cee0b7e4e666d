//! The settings that dockerd has had in its versions, and what they concern.

/// A key of `daemon.json`, the option of dockerd that says the same, and the first major version that has
/// them; 0 if all do that are started.
pub(super) type Setting = (&'static str, &'static str, u32);

/// What both shapes take over (moby `daemon/config/config.go`, `daemon/config/config_linux.go`,
/// `daemon/command/config.go`).
pub(super) const TAKEN_OVER: &[Setting] = &[
    (
        "allow-nondistributable-artifacts",
        "allow-nondistributable-artifacts",
        0,
    ),
    ("bip", "bip", 0),
    ("bip6", "bip6", 28),
    ("cdi-spec-dirs", "cdi-spec-dir", 25),
    ("cgroup-parent", "cgroup-parent", 0),
    ("cpu-rt-period", "cpu-rt-period", 0),
    ("cpu-rt-runtime", "cpu-rt-runtime", 0),
    ("default-address-pools", "default-address-pool", 0),
    ("default-cgroupns-mode", "default-cgroupns-mode", 0),
    ("default-ipc-mode", "default-ipc-mode", 0),
    ("default-network-opts", "default-network-opt", 24),
    ("default-runtime", "default-runtime", 0),
    ("default-shm-size", "default-shm-size", 0),
    ("default-ulimits", "default-ulimit", 0),
    ("dns", "dns", 0),
    ("dns-opts", "dns-opt", 0),
    ("dns-search", "dns-search", 0),
    ("exec-opts", "exec-opt", 0),
    ("experimental", "experimental", 0),
    (FIREWALL, FIREWALL, 29),
    ("fixed-cidr", "fixed-cidr", 0),
    ("fixed-cidr-v6", "fixed-cidr-v6", 0),
    (HOST_GATEWAY, HOST_GATEWAY, 0),
    ("host-gateway-ips", HOST_GATEWAY, 28),
    ("http-proxy", "http-proxy", 23),
    ("https-proxy", "https-proxy", 23),
    ("icc", "icc", 0),
    ("init", "init", 0),
    ("init-path", "init-path", 0),
    ("insecure-registries", "insecure-registry", 0),
    ("ip6tables", "ip6tables", 0),
    ("ipv6", "ipv6", 0),
    ("labels", "label", 0),
    (LOG_DRIVER, LOG_DRIVER, 0),
    ("log-opts", "log-opt", 0),
    ("max-concurrent-downloads", "max-concurrent-downloads", 0),
    ("max-concurrent-uploads", "max-concurrent-uploads", 0),
    ("max-download-attempts", "max-download-attempts", 0),
    ("mtu", "mtu", 0),
    ("no-new-privileges", "no-new-privileges", 0),
    ("no-proxy", "no-proxy", 23),
    ("proxies", "", 23),
    ("registry-mirrors", "registry-mirror", 0),
    ("runtimes", "add-runtime", 0),
    ("seccomp-profile", "seccomp-profile", 0),
    ("selinux-enabled", "selinux-enabled", 0),
    ("userland-proxy", "userland-proxy", 0),
    ("userland-proxy-path", "userland-proxy-path", 0),
];

/// What only an engine in the machine's place takes over: a private one has a network of its own.
pub(super) const OF_THE_HOSTS_NETWORK: &[Setting] = &[
    ("allow-direct-routing", "allow-direct-routing", 28),
    ("bridge-accept-fwmark", "bridge-accept-fwmark", 28),
    ("default-gateway", "default-gateway", 0),
    ("default-gateway-v6", "default-gateway-v6", 0),
    ("ip", "ip", 0),
    ("ip-forward", "ip-forward", 0),
    ("ip-forward-no-drop", "ip-forward-no-drop", 28),
    ("ip-masq", "ip-masq", 0),
    ("iptables", "iptables", 0),
];

/// Keys and options of an engine that is not ours, or that are read elsewhere here.
pub(super) const OURS: &[&str] = &[
    "api-cors-header",
    "builder",
    "cluster-advertise",
    "cluster-store",
    "cluster-store-opts",
    "config-file",
    "containerd",
    "containerd-namespace",
    "containerd-plugin-namespace",
    "containerd-plugins-namespace",
    "cri-containerd",
    "data-root",
    "debug",
    "deprecated-key-path",
    "exec-root",
    "feature",
    "features",
    "graph",
    "group",
    "host",
    "hosts",
    "live-restore",
    "log-format",
    "log-level",
    "metrics-addr",
    "network-control-plane-mtu",
    "network-diagnostic-port",
    "node-generic-resource",
    "node-generic-resources",
    "oom-score-adjust",
    "pidfile",
    "raw-logs",
    "shutdown-timeout",
    "storage-driver",
    "swarm-default-advertise-addr",
    "swarm-raft-election-tick",
    "swarm-raft-heartbeat-tick",
    "tls",
    "tlscacert",
    "tlscert",
    "tlskey",
    "tlsverify",
];

/// Settings that cannot be had: key, option, and what would be without them.
pub(super) const REFUSED: [(&str, &str, &str); 2] = [
    // dockerd keeps everything in a folder of its root that is named after this machine's /etc/subuid
    // (moby `daemon/daemon_unix.go`, `setupDaemonRoot`), with owners that mean nothing elsewhere.
    (
        "userns-remap",
        "userns-remap",
        "has containers whose root is this machine's",
    ),
    // A plugin that people installed lies in the root of the machine's engine.
    (
        "authorization-plugins",
        "authorization-plugin",
        "does not ask them",
    ),
];

pub(super) const FIREWALL: &str = "firewall-backend";
pub(super) const HOST_GATEWAY: &str = "host-gateway-ip";
pub(super) const LOG_DRIVER: &str = "log-driver";

/// Log drivers that need nothing but what `daemon.json` says of them. Others are plugins in the root of
/// the machine's engine, or need credentials of its environment: no container would start.
pub(super) const LOG_DRIVERS: [&str; 8] = [
    "fluentd",
    "gelf",
    "journald",
    "json-file",
    "local",
    "none",
    "splunk",
    "syslog",
];

/// Features that concern builds and containers. All others so far choose how images are stored.
pub(super) const FEATURES: [&str; 2] = ["buildkit", "cdi"];
pub(super) const OUR_FEATURES: [&str; 3] = [
    "containerd-migration",
    "containerd-snapshotter",
    "embedded-containerd",
];

/// The variables by which an engine finds its proxies (Go `net/http`, `ProxyFromEnvironment`).
pub(super) const PROXIES: [&str; 6] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Variables by which administrators make an engine work on their machine, or with their clients.
pub(super) const OF_DOCKERD: [&str; 4] = [
    "DOCKER_IGNORE_BR_NETFILTER_ERROR",
    "DOCKER_INSECURE_NO_IPTABLES_RAW",
    "DOCKER_MIN_API_VERSION",
    "DOCKER_RAMDISK",
];
