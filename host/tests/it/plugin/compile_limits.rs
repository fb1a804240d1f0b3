//! Compiling is bounded: a component is looked at before it is compiled, compiled in a process of its own within limits of time and
//! memory, and given up where the host is to end. Needs Linux.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::chameleon::{self, Chameleon, count};
use crate::commands::{call, fails};
use crate::component_bytes::COMPONENT;
use crate::expect::until;
use crate::support::{Host, Start, saga, signal};

/// A number in the format of WebAssembly.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], leb(content.len()).as_slice(), content].concat()
}

/// A section of a component with a module of so many functions that do next to nothing.
fn tiny_functions(number: usize) -> Vec<u8> {
    let types = section(1, &[1, 0x60, 0, 0]);
    let functions = section(3, &[leb(number), vec![0; number]].concat());
    // A block in a block, ten times.
    let body = [&[0][..], &[0x02, 0x40].repeat(10), &[0x0b; 11]].concat();
    let body = [leb(body.len()), body].concat();
    let code = section(10, &[leb(number), body.repeat(number)].concat());
    let module = [b"\0asm\x01\0\0\0".as_slice(), &types, &functions, &code].concat();
    section(1, &module)
}

/// Rules that take long to compile.
fn large(directory: &Path) -> PathBuf {
    let path = directory.join("large.wasm");
    let bytes = [
        Chameleon::new().version("large").bytes(),
        tiny_functions(400_000),
    ]
    .concat();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A host on this component, with no compiled code but its own.
fn start(component: &Path, data: &Path) -> Start {
    chameleon::start(component, data)
}

/// The compiler of this host, if it compiles.
fn compiler(host: u32) -> Option<u32> {
    let of_host = |id: &u32| {
        let parent = stat(*id).and_then(|(_, parent)| parent.parse().ok());
        parent == Some(host)
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.find(of_host)
}

/// The state of a process and the id of its parent.
fn stat(id: u32) -> Option<(String, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').map(str::to_owned);
    Some((fields.next()?, fields.next()?))
}

/// True while it runs. A process that has ended may be left in the list until somebody waits for it.
fn is_there(id: u32) -> bool {
    stat(id).is_some_and(|(state, _)| !["Z", "X"].contains(&state.as_str()))
}

#[test]
fn a_component_of_another_world_is_refused_before_it_is_compiled() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.wasm");
    std::fs::write(&path, [COMPONENT, &tiny_functions(400_000)].concat()).unwrap();
    let began = Instant::now();
    let (code, said) = fails(saga().arg("verify").arg(&path));
    assert_eq!(code, 65, "{said}");
    assert!(said.contains("it exports nothing"), "{said}");
    // Compiling it takes a minute where nothing else runs.
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn invariant_9_what_compiling_may_take_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let path = large(directory.path());
    for (setting, value, says) in [
        (
            "SAGA__COMPILE__SECONDS",
            "1",
            "takes longer than 1 s (`compile.seconds`)",
        ),
        (
            "SAGA__COMPILE__MEMORY_BYTES",
            "100000000",
            "takes more than 100000000 bytes of memory (`compile.memory_bytes`)",
        ),
    ] {
        let (code, said) = fails(saga().arg("verify").arg(&path).env(setting, value));
        assert_eq!(code, 65, "{said}");
        assert!(said.contains(says), "{said}");
    }
    // Others are compiled within them.
    let small = directory.path().join("small.wasm");
    Chameleon::new().version("small").write(&small);
    let (code, out, said) = call(
        saga()
            .arg("verify")
            .arg(small)
            .env("SAGA__COMPILE__MEMORY_BYTES", "1000000000"),
    );
    assert_eq!(code, 0, "{out} {said}");
}

#[test]
fn a_compiler_is_bounded_by_the_system_and_ended_before_the_host() {
    let directory = tempfile::tempdir().unwrap();
    let path = large(directory.path());
    let mut child = start(&path, directory.path())
        .setting("compile.memory_bytes", 1_000_000_000)
        .spawn_silent();
    let of = |name: &str| {
        let id = compiler(child.id()).unwrap_or_default();
        std::fs::read_to_string(format!("/proc/{id}/{name}")).unwrap_or_default()
    };
    until("the compiler is ended first", || {
        of("oom_score_adj").trim() == "1000"
    });
    let limits = of("limits");
    let data = limits
        .lines()
        .find(|line| line.starts_with("Max data size"));
    let data: Vec<_> = data.unwrap().split_whitespace().skip(3).collect();
    assert_eq!(data, ["2000000000", "2000000000", "bytes"]);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_signal_ends_a_start_that_compiles_and_the_compiler_with_it() {
    for (name, code) in [("TERM", Some(143)), ("INT", Some(130)), ("KILL", None)] {
        let directory = tempfile::tempdir().unwrap();
        let path = large(directory.path());
        let mut child = start(&path, directory.path()).spawn_silent();
        until("the host compiles", || compiler(child.id()).is_some());
        let compiler = compiler(child.id()).unwrap();
        signal(child.id(), name);
        let began = Instant::now();
        assert_eq!(child.wait().unwrap().code(), code, "{name}");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{name}: {:?}",
            began.elapsed()
        );
        until("the compiler is gone", || !is_there(compiler));
    }
}

#[test]
fn a_swap_that_compiles_does_not_hold_up_the_end_of_the_host_nor_is_it_refused() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let file = data.join("chameleon.wasm");
    Chameleon::new().write(&file);
    let host = start(&file, data).setting("reload.watch_ms", 0).start();
    assert_eq!(count(&host, "k")["count"], 1);
    let bytes = std::fs::read(large(data)).unwrap();
    std::thread::scope(|scope| {
        let host: Host = host;
        let url = format!("{}/participants/chameleon/component", host.admin());
        let applied = scope.spawn(move || crate::support::try_request("PUT", &url, &[], &bytes));
        until("the host compiles", || compiler(host.id()).is_some());
        let began = Instant::now();
        assert!(host.stop().success());
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "{:?}",
            began.elapsed()
        );
        if let Ok(answer) = applied.join().unwrap() {
            assert_eq!(answer.status, 503, "{}", answer.text());
        }
    });
    let refused = crate::store_file::rows(data, "SELECT * FROM refused_components");
    assert!(refused.is_empty(), "{refused:?}");
}
