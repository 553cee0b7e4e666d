//! Two private sessions beside each other and beside the machine's own engine.

use std::fs;
use std::process::{Child, Command};

use crate::kit::{SMALL, Store, build, context, text, wait_for};
use crate::machine::{Machine, difference};

/// A plain dockerd on the usual socket, with an image, a network and a container that publishes a
/// port.
fn system_engine(machine: &Machine, context: &std::path::Path) -> Child {
    let log = std::fs::File::create(machine.path("dockerd.log")).expect("made");
    let root = machine.path("docker");
    let child = machine
        .command("dockerd")
        .arg("--data-root")
        .arg(&root)
        .args(["--config-file", "/dev/null"])
        .stdout(log.try_clone().expect("a handle"))
        .stderr(log)
        .spawn()
        .expect("dockerd starts");
    wait_for("the machine's engine", || {
        let info = machine
            .command("docker")
            .arg("info")
            .output()
            .expect("docker starts");
        info.status.success().then_some(())
    });
    let line = format!(
        "{} && docker network create ours && docker run -d --network ours -p 8080:80 --name web system \
         /bin/sleep 1000",
        build(context, "system")
    );
    machine.run("sh", &["-c", &line]);
    child
}

/// All that the machine's engine and its network show. Uptimes are left out, and what a kernel adds by
/// itself when a bridge gets a carrier: its state, its address for its own link.
fn seen(machine: &Machine) -> String {
    const LOOK: &str = "iptables-save | grep -v -e '^#' -e larder: | sed 's/ \\[.*//'; ip -br address | grep -v '^lr-' | sed 's/ fe80:[^ ]*//g' | awk '{ $2 = \"\"; print }'; \
        docker network ls --no-trunc; docker network inspect ours bridge; docker images -a --no-trunc --format '{{.ID}} {{.Repository}}'; \
        docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.State}} {{.Ports}}'; docker volume ls; \
        docker buildx du | sed 's/\\t[^\\t]*ago.*//'; cat /proc/sys/net/ipv4/ip_forward";
    machine.run("sh", &["-c", LOOK])
}

fn job(machine: &Machine, state: &str, name: &str, store: &Store, line: &str) -> Command {
    let mut command = machine.larder_at("run", &machine.path(state));
    command.args([
        "--store",
        &store.url(),
        "--project",
        name,
        "--size",
        "2GiB",
        "--",
        "sh",
        "-c",
        line,
    ]);
    command
}

#[test]
fn two_projects_and_the_machines_engine_do_not_meet() {
    let (store, machine) = (Store::new(), Machine::new());
    let context = context(machine.folder.path(), SMALL);
    let mut engine = system_engine(&machine, &context);
    let before = seen(&machine);
    // Each waits for the other inside its session, so that both run at once.
    let jobs = ["one", "two"].map(|name| {
        let (mine, other) = (machine.path("here-one"), machine.path("here-two"));
        let (mine, other) = if name == "one" { (mine, other) } else { (other, mine) };
        let line = format!(
            "{} && docker network create ours && docker run -d --network ours -p 8080:80 --name web {name} \
             /bin/sleep 1000 && touch {} && until [ -e {} ]; do sleep 0.05; done; docker images",
            build(&context, name),
            mine.display(),
            other.display()
        );
        let mut command = job(&machine, name, name, &store, &line);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command.spawn().expect("larder starts")
    });
    wait_for("both sessions", || {
        let there = ["here-one", "here-two"].map(|name| machine.path(name).exists());
        there.iter().all(|there| *there).then_some(())
    });
    assert_eq!(difference(&before, &seen(&machine)), "", "while both run");
    for (job, (name, other)) in jobs.into_iter().zip([("one", "two"), ("two", "one")]) {
        let output = job.wait_with_output().expect("it ends");
        let said = text(&output);
        assert!(output.status.success() && said.contains("saved"), "{said}");
        assert!(
            said.contains("private: the machine's engine is not a systemd service")
                || said.contains("private: 1 container runs"),
            "{said}"
        );
        assert!(said.contains(&format!("\n{name} ")), "{said}");
        assert!(
            !said.contains(&format!("\n{other} ")) && !said.contains("\nsystem "),
            "{said}"
        );
    }
    assert_eq!(difference(&before, &seen(&machine)), "", "after both");
    let rules = machine.run("iptables-save", &[]);
    assert!(!rules.contains("larder:"), "{rules}");
    machine.run("docker", &["rm", "-f", "web"]);
    crate::machine::signal(&engine, rustix::process::Signal::TERM);
    engine.wait().expect("it ends");
}

/// A web server of the machine's own, on this address, for the files of a folder.
fn server(machine: &Machine, address: &str, folder: &std::path::Path) -> Child {
    let mut server = machine.command("busybox");
    server
        .args(["httpd", "-f", "-p", address, "-h"])
        .arg(folder);
    server.spawn().expect("busybox starts")
}

/// What a private engine's containers publish is on the host's localhost, and what the host has there is on the
/// engine's.
#[test]
fn a_private_engine_shares_the_machines_localhost() {
    let (store, machine) = (Store::new(), Machine::new());
    fs::write(
        machine.path("etc/daemon.json"),
        r#"{"default-shm-size": "128M", "bridge": "br9"}"#,
    )
    .expect("written");
    let folder = machine.path("www");
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("one"), "the machine's\n").expect("written");
    let mut servers = ["127.0.0.1:5999", "0.0.0.0:5998"].map(|on| server(&machine, on, &folder));
    let build_folder = tempfile::tempdir().expect("a folder");
    let build = build(&context(build_folder.path(), SMALL), "app");
    let get = "/bin/wget -q -O - http:";
    let line = format!(
        "{build} && docker run -d -p 8080:80 -p 5998:80 -p 5353:53/udp app /bin/httpd -f -p 80 -h / && \
         timeout 60 sh -c 'until grep -q :14E9 /proc/net/udp; do sleep 0.1; done' && \
         busybox wget -q -O - http://127.0.0.1:8080/one && \
         docker run --rm --network host app {get}//127.0.0.1:5999/one && \
         docker run --rm --add-host=machine:host-gateway app {get}//machine:5998/one && \
         docker run --rm app /bin/df -k /dev/shm; docker pull localhost:5999/nothing:1; \
         docker run -d --network host app /bin/httpd -f -p 127.0.0.1:8082 -h /; \
         timeout 60 sh -c 'until busybox wget -q -O - http://127.0.0.1:8082/one 2>/dev/null; do sleep 0.1; done'"
    );
    let job = machine.job(&store.url(), &[], &line).saved();
    let said = &job.said;
    let got = |text| said.lines().filter(|line| *line == text).count();
    assert_eq!((got("one"), got("the machine's")), (2, 2), "{said}");
    // The machine's server has no such image; without it nobody would have answered.
    assert!(!said.contains("refused"), "{said}");
    assert!(said.contains(" 131072 "), "{said}");
    assert!(
        said.contains("port 5998 is not on the host's localhost"),
        "{said}"
    );
    assert!(said.contains("does not have: bridge"), "{said}");
    for server in &mut servers {
        crate::machine::signal(server, rustix::process::Signal::TERM);
        server.wait().expect("it ends");
    }
    machine.assert_untouched();
}

/// A pipeline starts its jobs at one moment, and several run on one machine: with a state directory each,
/// and with one for all.
#[test]
fn jobs_that_start_at_once_all_work() {
    let (store, machine) = (Store::new(), Machine::new());
    let here = machine.path("here");
    fs::create_dir(&here).expect("made");
    // Each waits for all others: one that came when another has ended could have that one's place.
    let line = format!(
        "docker info --format '{{{{.ID}}}}' && touch {0}/$$ && \
         timeout 200 sh -c 'until [ $(ls {0} | wc -l) = 5 ]; do sleep 0.05; done'",
        here.display()
    );
    let start = |(state, name)| {
        let mut command = job(&machine, state, name, &store, &line);
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command.spawn().expect("larder starts")
    };
    let jobs = [
        ("a", "one"),
        ("b", "two"),
        ("shared", "three"),
        ("shared", "four"),
        ("shared", "three"),
    ];
    let ended = jobs
        .map(start)
        .map(|job| job.wait_with_output().expect("it ends"));
    let said = ended.each_ref().map(text).join("\n");
    assert!(ended.iter().all(|job| job.status.success()), "{said}");
    assert_eq!(said.matches(", takeover: ").count(), 1, "{said}");
    assert_eq!(
        said.matches("using the running session").count(),
        1,
        "{said}"
    );
    assert!(store.objects("broken").is_empty(), "{said}");
    machine.assert_untouched();
}
