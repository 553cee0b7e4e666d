//! A private engine beside the machine's: reaches the world, leaves no trace.

use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use larder_docker::ImageStore;
use larder_engine::InstanceId;
use larder_engine::network::{HostNetwork, PrivateNet, tear_down};

use crate::machine::{DEADLINE, HOST, Machine, context, run};
use crate::own::start;
use crate::room::Room;

fn id(text: &str) -> InstanceId {
    text.parse().expect("an id")
}

fn set_up(machine: &Machine, name: &str) -> (Room, PrivateNet) {
    let room = Room::new(true);
    let (instance, tid) = (id(name), room.tid());
    let net = machine
        .host
        .run(move || {
            let net = PrivateNet::plan(&instance)?;
            net.set_up(&instance, tid).map(|()| net)
        })
        .expect("set up");
    (room, net)
}

fn ip(room: &Room, arguments: &'static str) -> String {
    let words: Vec<&str> = arguments.split(' ').collect();
    let done = room.run(move || run("ip", &words));
    assert!(done.status.success(), "ip {arguments}: {done:?}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn end(machine: &Machine, name: &str) {
    let instance = id(name);
    machine
        .host
        .run(move || tear_down(&instance))
        .expect("torn down");
}

#[tokio::test]
async fn a_build_reaches_the_world_and_the_system_engine_is_as_before() {
    let machine = Machine::new();
    // As in clouds and tunnels: less than what docker gives its bridges.
    ip(&machine.host, "link set uplink mtu 1400");
    let system = machine.system_engine();
    let objects = ["ps -aq", "network ls --no-trunc", "image ls", "volume ls"];
    let seen = || objects.map(|command| system.run(&command.split(' ').collect::<Vec<_>>()));
    assert!(
        machine.host_network().contains(":FORWARD DROP"),
        "the hard case"
    );
    let (network_before, objects_before) = (machine.host_network(), seen());

    let (room, net) = set_up(&machine, "beside");
    let config = machine.engine_config(&room, "own", ImageStore::Overlay2);
    let run_dir = config.run_dir.clone();
    let warning = room.run(move || net.enter(&run_dir)).expect("entered");
    assert_eq!(warning, None);
    // What a server sends to a container fits, and what the engine sends fits all the way.
    let link = ip(&room, "link show eth0");
    assert!(link.contains("mtu 1500"), "{link}");
    let route = ip(&room, "route show default");
    assert!(route.contains("mtu 1400"), "{route}");
    let engine = start(&room, &config).await;
    let world = machine.world_server();
    let (address, port) = (world.ip(), world.port());
    let fetch = format!(
        "FROM scratch\nCOPY busybox /busybox\nRUN [\"/busybox\", \"nc\", \"{address}\", \"{port}\"]\n"
    );
    let context = context(machine.directory.path(), &fetch);
    let docker = machine.docker(engine.socket());
    let said = docker.build(&context, true, "fetched", &[]);
    assert!(said.contains(&format!("hello {HOST}")), "{said}");
    // The host's networks were told to the room, so its bridge took another one.
    let bridge = docker.run(&[
        "network",
        "inspect",
        "bridge",
        "--format",
        "{{(index .IPAM.Config 0).Subnet}}",
    ]);
    assert_ne!(
        bridge,
        system.run(&[
            "network",
            "inspect",
            "bridge",
            "--format",
            "{{(index .IPAM.Config 0).Subnet}}"
        ])
    );

    assert!(engine.stop(DEADLINE).await.is_clean());
    end(&machine, "beside");
    end(&machine, "beside");
    assert_eq!(machine.host_network(), network_before);
    assert_eq!(seen(), objects_before);
}

fn forwarding(machine: &Machine) -> String {
    machine.host.run(|| {
        let text = fs::read_to_string("/proc/sys/net/ipv4/ip_forward");
        text.expect("readable").trim().to_owned()
    })
}

fn set_forwarding(machine: &Machine, text: &'static str) {
    machine
        .host
        .run(move || fs::write("/proc/sys/net/ipv4/ip_forward", text).expect("root may"));
}

#[test]
fn forwarding_is_given_back_by_the_last_to_go() {
    let machine = Machine::new();
    set_forwarding(&machine, "0");
    let first = set_up(&machine, "first");
    let second = set_up(&machine, "second");
    assert_ne!(first.1.host_address(), second.1.host_address());
    assert_eq!(forwarding(&machine), "1");
    end(&machine, "first");
    assert_eq!(forwarding(&machine), "1", "the second still needs it");
    end(&machine, "second");
    assert_eq!(forwarding(&machine), "0");
    assert!(
        !machine.host_network().contains("lr-"),
        "{}",
        machine.host_network()
    );
}

/// An engine in the machine's place switches it on, too, and may come and go before, between and after private
/// ones.
#[test]
fn forwarding_is_given_back_whoever_switched_it_on() {
    let machine = Machine::new();
    let take_over = || machine.host.run(HostNetwork::observe).expect("observed");
    let give_back = |before: HostNetwork| {
        machine
            .host
            .run(move || before.take_back())
            .expect("taken back");
    };
    set_forwarding(&machine, "0");
    let before = take_over();
    set_forwarding(&machine, "1");
    let first = set_up(&machine, "first");
    let second = set_up(&machine, "second");
    give_back(before.clone());
    give_back(before);
    let saved = machine.host_network();
    assert_eq!(saved.matches(":ip_forward=0").count(), 2, "{saved}");
    end(&machine, "first");
    assert_eq!(forwarding(&machine), "1", "the second still needs it");
    // One that comes when a private one is there finds it on, and stays longer.
    let before = take_over();
    end(&machine, "second");
    drop((first, second));
    set_forwarding(&machine, "1");
    give_back(before);
    assert_eq!(forwarding(&machine), "0");
    let saved = machine.host_network();
    assert!(!saved.contains("larder:"), "{saved}");
}

/// A private engine's way out is nobody else's way in, or through.
#[test]
fn a_host_that_was_no_router_becomes_none() {
    let machine = Machine::new();
    let (room, net) = set_up(&machine, "closed");
    let (host, directory) = (net.host_address(), machine.directory.path().to_owned());
    room.run(move || net.enter(&directory)).expect("entered");
    let inside = Ipv4Addr::from_bits(host.to_bits() + 1);
    let listener = room.run(move || TcpListener::bind((inside, 0)).expect("bound"));
    let address = listener.local_addr().expect("it is bound");
    let reaches = move |limit| TcpStream::connect_timeout(&address, limit).is_ok();
    let route = format!("route add {inside}/32 via {HOST}");
    machine.world.run(move || {
        let words: Vec<&str> = route.split(' ').collect();
        assert!(run("ip", &words).status.success());
    });
    assert!(machine.host.run(move || reaches(DEADLINE)));
    let moment = Duration::from_secs(1);
    assert!(!machine.world.run(move || reaches(moment)));
    end(&machine, "closed");
}

#[test]
fn leftovers_of_a_crash_are_replaced() {
    let machine = Machine::new();
    let crashed = set_up(&machine, "again");
    let again = set_up(&machine, "again");
    let saved = machine.host_network();
    assert_eq!(saved.matches("larder:again").count(), 4, "{saved}");
    drop((crashed, again));
    end(&machine, "again");
    assert!(!machine.host_network().contains("larder:again"));
}

#[test]
fn a_thread_that_is_no_room_is_refused() {
    let machine = Machine::new();
    let (_room, net) = set_up(&machine, "strict");
    let refused = net
        .enter(machine.directory.path())
        .expect_err("this is the test's own thread");
    assert!(refused.to_string().contains("net namespace"), "{refused}");
    end(&machine, "strict");
}

/// What Docker 28.5.2 leaves with a container that has a published port: chains that lead to chains.
const CHAINS: &str = "*raw
-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
COMMIT
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 172.17.0.2:80
COMMIT
";
const CHAINS_IPV6: &str = "*filter
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-FORWARD -j DOCKER-CT
COMMIT
";

fn shell(machine: &Machine, line: &str) -> String {
    let line = line.to_owned();
    let output = machine.host.run(move || run("sh", &["-ec", &line]));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    said
}

/// An engine in the machine's place has come and gone; `meanwhile` is done before its traces are taken back.
fn taken_back(meanwhile: &str) -> (Machine, Result<(), String>) {
    let machine = Machine::new();
    // Both programs read their own names.
    shell(&machine, meanwhile);
    set_forwarding(&machine, "0");
    let before = machine.host.run(HostNetwork::observe).expect("observed");
    for (program, rules) in [("iptables", CHAINS), ("ip6tables", CHAINS_IPV6)] {
        fs::write(machine.path("rules"), rules).expect("written");
        let path = machine.path("rules").display().to_string();
        shell(&machine, &format!("{program}-restore --noflush {path}"));
    }
    shell(
        &machine,
        "ip link add docker0 type bridge; nft add table ip docker-bridges",
    );
    set_forwarding(&machine, "1");
    let taken = machine.host.run(move || before.take_back());
    (machine, taken.map_err(|error| error.to_string()))
}

#[test]
fn chains_that_lead_to_chains_are_taken_back_whole() {
    let legacy = "mount --bind /usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi";
    for program in [":", legacy] {
        let (machine, taken) = taken_back(program);
        taken.expect("taken back");
        let left = shell(
            &machine,
            "iptables-save; ip6tables-save; ip link; nft list tables",
        );
        assert!(
            !left.to_lowercase().contains("docker") && !left.contains("FORWARD DROP"),
            "{program}: {left}"
        );
        assert_eq!(forwarding(&machine), "0");
    }
}

/// What is left of one kind of rules keeps nothing else.
#[test]
fn all_is_taken_back_that_can_be() {
    let machine = Machine::new();
    set_forwarding(&machine, "0");
    let before = machine.host.run(HostNetwork::observe).expect("observed");
    fs::write(machine.path("rules"), CHAINS_IPV6).expect("written");
    let fake = machine.path("fake").display().to_string();
    let rules = machine.path("rules").display().to_string();
    // A program that stands before the other one in `PATH`.
    shell(
        &machine,
        &format!(
            "iptables -N DOCKER-CT; ip6tables-restore --noflush {rules}; ip link add docker0 type bridge; \
             mkdir {fake}; printf '#!/bin/sh\\nexit 4\\n' > {fake}/iptables-restore; chmod +x {fake}/*; \
             first=${{PATH%%:*}}; mount -t overlay fake -o lowerdir={fake}:$first $first"
        ),
    );
    set_forwarding(&machine, "1");
    let failed = machine.host.run(move || before.take_back());
    let why = failed.expect_err("it cannot be removed").to_string();
    assert!(why.contains("iptables-restore"), "{why}");
    let left = shell(&machine, "ip6tables-save; ip link");
    assert!(!left.to_lowercase().contains("docker"), "{left}");
    assert_eq!(forwarding(&machine), "0");
}

/// A machine that has nft(8) alone.
#[test]
fn a_machine_without_iptables_gets_by_with_nftables() {
    let machine = Machine::new();
    let upper = machine.path("upper").display().to_string();
    shell(
        &machine,
        &format!(
            "mkdir -p {upper}; mount -t tmpfs none {upper}; mkdir {upper}/u {upper}/w; \
             mount -t overlay none -o lowerdir=/usr/sbin,upperdir={upper}/u,workdir={upper}/w /usr/sbin; \
             rm /usr/sbin/iptables* /usr/sbin/ip6tables*"
        ),
    );
    set_forwarding(&machine, "0");
    let before = machine.host.run(HostNetwork::observe).expect("observed");
    let (room, net) = set_up(&machine, "first");
    let (other, _) = set_up(&machine, "other");
    let directory = machine.directory.path().to_owned();
    room.run(move || net.enter(&directory)).expect("entered");
    let server = machine.world_server();
    let said = room.run(move || {
        let mut stream = TcpStream::connect_timeout(&server, DEADLINE).expect("a way out");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("it answers");
        said
    });
    assert_eq!(said, format!("hello {HOST}\n"));
    let tables = "nft list tables; nft list chains ip";
    let said = shell(&machine, tables);
    assert_eq!(
        said.matches("chain forwarding_was_off").count(),
        2,
        "{said}"
    );
    end(&machine, "first");
    assert_eq!(forwarding(&machine), "1", "the other still needs it");
    // One in the machine's place has come and gone meanwhile.
    machine
        .host
        .run(move || before.take_back())
        .expect("taken back");
    end(&machine, "other");
    end(&machine, "other");
    assert_eq!(forwarding(&machine), "0");
    let said = shell(&machine, tables);
    assert!(!said.contains("larder"), "{said}");
    drop(other);
}
