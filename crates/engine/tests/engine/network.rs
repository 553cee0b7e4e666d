//! A private engine beside the machine's: reaches the world, leaves no trace.

use std::fs;
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
    let reaches = move || TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
    let route = format!("route add {inside}/32 via {HOST}");
    machine.world.run(move || {
        let words: Vec<&str> = route.split(' ').collect();
        assert!(run("ip", &words).status.success());
    });
    assert!(machine.host.run(reaches));
    assert!(!machine.world.run(reaches));
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
